"""JSON that two parsers could read differently is not read at all."""

import pytest

from outlay_rest.limits import DEPTH_MAX
from outlay_rest.strict_json import NotJson, Number, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, -2, true, null, "\xc3\xa9"]}', {"a": [1, -2, True, None, "é"]}),
        (b' {"a":{}}\n', {"a": {}}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"9223372036854775807", 2**63 - 1),
        (b"-0", 0),
        (b'"[[["', "[[["),
    ],
)
def test_what_is_plain_reads_as_everywhere(text: bytes, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize("text", [b"1.0", b"1e3", b"1.5", b"-0.0", b"9" * 5_000])
def test_a_number_that_is_no_short_integer_keeps_its_text(text: bytes) -> None:
    """So a field can refuse it: 1.0 must not become 1, and 5,000 digits cost no conversion."""
    assert parse(text) == Number(text.decode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        (b'{"a":1,"a":1}', '"a" twice'),
        (b'{"b":{"a":1,"\\u0061":2}}', '"a" twice'),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"1e400", "no double"),
        (b'["\\ud800"]', "half a surrogate"),
        (b'{"\\udc00":1}', "half a surrogate"),
        (b"{} {}", "Extra data"),
        (b"", "Expecting value"),
        (b'"\x00"', "control character"),
        (b"[01]", "not JSON"),
    ],
)
def test_what_is_ambiguous_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(NotJson, match=reason):
        parse(text)


def test_nesting_is_bounded_and_brackets_in_strings_do_not_count() -> None:
    deep = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    assert parse(deep) is not None
    assert parse(b'["' + b"[" * 1000 + b'\\""]') == ["[" * 1000 + '"']
    for text in (b"[" + deep + b"]", b"[" * 100_000, b'{"a":' * 100_000):
        with pytest.raises(NotJson, match="deeper"):
            parse(text)
