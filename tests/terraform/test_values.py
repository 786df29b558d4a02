"""Values cross the wire unchanged: null, empty and unknown stay three things, and no number becomes a float."""

import string
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay_terraform.framework.types import BOOL, NUMBER, STRING, Map, Object, Type, constraint, list_of, set_of
from outlay_terraform.framework.values import UNKNOWN, decode, decode_json, encode, is_known

THING = Object(
    {"s": STRING, "n": NUMBER, "b": BOOL, "l": list_of(NUMBER), "m": Map(STRING), "o": Object({"x": STRING})}
)
EMPTY: dict[str, Any] = dict.fromkeys(THING.members)

_names = st.text(string.ascii_letters, min_size=1, max_size=5)


def _values(kind: Type) -> st.SearchStrategy[Any]:
    numbers = st.decimals(allow_nan=False, allow_infinity=False) | st.integers().map(Decimal)
    primitive = {STRING: st.text(), NUMBER: numbers, BOOL: st.booleans()}
    nothing = st.sampled_from([None, UNKNOWN])
    match kind:
        case Object():
            return st.fixed_dictionaries({name: _values(member) for name, member in kind.members.items()}) | nothing
        case Map():
            return st.dictionaries(_names, _values(kind.element), max_size=3) | nothing
        case _ if kind in primitive:
            return primitive[kind] | nothing  # type: ignore[index]
    return st.lists(_values(kind.element), max_size=3) | nothing  # type: ignore[union-attr]


@given(_values(THING))
def test_what_is_encoded_is_decoded(value: Any) -> None:
    decoded = decode(encode(value), THING)
    assert decoded == value
    assert repr(decoded).count("float") == 0


@pytest.mark.parametrize("code", [0, 12, 99])
def test_every_extension_is_an_unknown(code: int) -> None:
    """12 is an unknown whose range is narrowed; what is narrowed is of no matter here."""
    packed = msgpack.packb({"s": msgpack.ExtType(code, msgpack.packb({1: False}))})
    value = decode(packed, THING)
    assert value["s"] is UNKNOWN
    assert not is_known(value)


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        (5, "5"),
        (2**63, "9223372036854775808"),
        (0.5, "0.5"),
        ("1000.10", "1000.10"),
        ("123456789012345678901234567890.123456", "123456789012345678901234567890.123456"),
    ],
)
def test_a_number_is_exact_however_it_comes(sent: Any, number: str) -> None:
    decoded = decode(msgpack.packb({"n": sent}), THING)["n"]
    assert (type(decoded), decoded) == (Decimal, Decimal(number))
    assert decode(encode({"n": decoded}), THING)["n"] == Decimal(number)


def test_null_empty_and_absent_differ() -> None:
    nothing = {**EMPTY}
    empty = {**EMPTY, "s": "", "l": [], "m": {}, "n": Decimal(0), "b": False}
    assert decode(encode(nothing), THING) == nothing
    assert decode(encode(empty), THING) == empty
    assert decode(encode(None), THING) is None


def test_stored_json_loses_what_the_type_does_not_have() -> None:
    stored = b'{"s": "x", "n": 1000.10, "colour": {"deep": [1]}, "o": {"x": "y", "z": 1}, "l": [1, 2.50]}'
    expected = {**EMPTY, "s": "x", "n": Decimal("1000.10"), "o": {"x": "y"}, "l": [Decimal(1), Decimal("2.50")]}
    assert decode_json(stored, THING) == expected


def test_types_are_written_as_terraform_reads_them() -> None:
    assert constraint(STRING) == b'"string"'
    assert constraint(set_of(STRING)) == b'["set","string"]'
    assert (
        constraint(Object({"a": list_of(NUMBER), "b": Map(BOOL)}))
        == b'["object",{"a":["list","number"],"b":["map","bool"]}]'
    )
