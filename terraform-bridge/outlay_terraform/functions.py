"""The functions of the provider."""

from collections.abc import Sequence
from typing import Final

from outlay_terraform import money
from outlay_terraform.framework.contracts import BadArgument
from outlay_terraform.framework.schema import FunctionSchema
from outlay_terraform.framework.types import STRING
from outlay_terraform.framework.values import Value

ECHO_MAX_LENGTH: Final = 64
"""Characters of an argument that an error repeats."""


class Usd:
    """`provider::outlay::usd`."""

    name = "usd"
    schema = FunctionSchema(
        summary="A dollar amount, checked and written in full",
        description='Takes an amount such as `"500"`, `"$1,250.5"` or `500` and returns it as the decimal text that'
        ' limits take: `"500.00"`, `"1250.50"`. Fails, when planning, on what is no amount: a sign, more than 6 places,'
        ' commas that separate no thousands. Round a computed amount first: `usd(format("%.2f", var.yearly / 12))`.',
        parameters={"amount": (STRING, "The amount; `$` before it and commas between thousands are allowed.")},
        result=STRING,
    )

    def call(self, arguments: Sequence[Value]) -> Value:
        (given,) = arguments
        digits = _plain(given)
        complaint = "is no amount of dollars" if digits is None else money.complaint(digits)
        if digits is None or complaint is not None:
            raise BadArgument(0, f"{given[:ECHO_MAX_LENGTH]!r} {complaint}")
        return money.text(money.micros(digits))


def _plain(given: str) -> str | None:
    """The digits without `$` and commas; None where a comma stands elsewhere than between thousands."""
    text = given.removeprefix("$")
    if "," not in text:
        return text
    whole, dot, places = text.partition(".")
    first, *groups = whole.split(",")
    if not 1 <= len(first) <= 3 or any(len(group) != 3 for group in groups):
        return None
    return "".join([first, *groups]) + dot + places
