"""Bodies that every face refuses whole, and values that no integer field takes."""

NOT_ONE_DOCUMENT: dict[str, bytes] = {
    "cut off": b'{"%s": 5',
    "two documents": b'{"%s": 5} {}',
    "byte order mark": b'\xef\xbb\xbf{"%s": 5}',
    "not UTF-8": b'{"%s": "\xff"}',
    "UTF-16": '{"a": 5}'.encode("utf-16"),
    "a key twice": b'{"%s": 5, "%s": 5}',
    "the same key twice, once escaped": b'{"\\u0061": 5, "a": 5}',
    "NaN": b'{"%s": NaN}',
    "infinity": b'{"%s": -Infinity}',
    "beyond a double": b'{"%s": 1e400}',
    "half a surrogate pair": b'{"%s": "\\ud800"}',
    "a hundred thousand brackets": b"[" * 100_000,
    "deeper than the limit": b'{"a":' * 65 + b"1" + b"}" * 65,
    "a comment": b'{"%s": 5 /* five */}',
    "single quotes": b"{'%s': 5}",
    "a trailing comma": b'{"%s": 5,}',
    "an array": b'[{"%s": 5}]',
    "a string": b'"%s"',
    "null": b"null",
    "a number": b"5",
    "an unknown key": b'{"no_such_key": 5}',
    "spaces only": b"   ",
}
"""By what is wrong; `%s` stands for a key that the face knows."""

NOT_AN_INTEGER: dict[str, bytes] = {
    "a fraction": b"1.5",
    "a float": b"5.0",
    "an exponent": b"1e3",
    "true": b"true",
    "5,000 digits": b"9" * 5_000,
    "text": b'"five"',
    "an underscore": b'"1_000"',
    "other digits": '"٣"'.encode(),
    "a plus": b'"+5"',
    "a leading zero": b'"05"',
    "an exponent in text": b'"1e3"',
    "a fraction in text": b'"1.0"',
    "a space": b'" 5"',
    "nothing": b'""',
    "a list": b"[5]",
    "an object": b'{"value": 5}',
}


def with_key(body: bytes, key: str) -> bytes:
    return body.replace(b"%s", key.encode())
