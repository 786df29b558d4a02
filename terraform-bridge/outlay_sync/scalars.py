"""What a plain scalar means, by YAML 1.2's core schema, and which ones are refused because readers disagree on them.

`yes` is text in YAML 1.2 and true in YAML 1.1; `010` is ten or eight; `1_000` is text or a thousand; `1:30` is text or
ninety. Nothing of that kind is guessed: a field says what it takes, and a plain scalar that another reader would take
for something else has to be put into quotes where text is meant.
"""

import re
from typing import Final

from outlay_sync.nodes import Scalar

_NULL: Final = frozenset({"null", "Null", "NULL", "~"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})

_OTHER_BOOLEANS: Final = re.compile(r"y|n|yes|no|on|off", re.IGNORECASE)
"""Booleans of YAML 1.1, text in 1.2."""

_NUMBER: Final = re.compile(
    r"""[-+]?(
        [0-9][0-9_]*                      # also 010 and 1_000
      | 0b[01_]+ | 0o[0-7_]+ | 0x[0-9a-fA-F_]+
      | [0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?
      | ([0-9][0-9_]*)?\.[0-9_]+([eE][-+]?[0-9]+)? | [0-9][0-9_]*\.?([eE][-+]?[0-9]+)?
      | \.(inf|Inf|INF)
    ) | \.(nan|NaN|NAN)""",
    re.VERBOSE | re.ASCII,
)
"""What some version of YAML takes for a number."""

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)


def is_empty(scalar: Scalar) -> bool:
    """Whether nothing was written. YAML reads null there; here nothing must not lift a limit."""
    return scalar.is_plain and scalar.text == ""


def is_null(scalar: Scalar) -> bool:
    return scalar.is_plain and scalar.text in _NULL


def boolean(scalar: Scalar) -> bool | None:
    """True or false; None for what is neither."""
    if not scalar.is_plain:
        return None
    if scalar.text in _TRUE:
        return True
    return False if scalar.text in _FALSE else None


def integer(scalar: Scalar) -> int | None:
    """A whole number in the one spelling that all readers agree on; None for anything else."""
    return int(scalar.text) if scalar.is_plain and _INTEGER.fullmatch(scalar.text) else None


def other_reading(scalar: Scalar) -> str | None:
    """What a plain scalar is, or may be to another reader, where text is meant; None where it can only be text."""
    if not scalar.is_plain:
        return None
    text = scalar.text
    if text == "" or text in _NULL:
        return "null"
    if text in _TRUE or text in _FALSE or _OTHER_BOOLEANS.fullmatch(text):
        return "a truth value"
    return "a number" if _NUMBER.fullmatch(text) else None
