"""Options and types of values that several commands share."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

import click

from outlay_server.domain.amounts import parse_decimal

Command = TypeVar("Command", bound=Callable[..., Any])

NONE: Final[Literal["none"]] = "none"
"""What is written for "no such limit"; leaving an option out changes nothing."""

DEFAULT_LIMIT: Final = 100


# Types of values: functions of the text, which click calls. Their names are what its usage lines show.


def amount(text: str) -> int:
    """A decimal amount of at most 6 places, as micros."""
    try:
        return parse_decimal(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def amount_or_none(text: str) -> int | Literal["none"]:
    """An amount, or `none` for no limit."""
    return NONE if text == NONE else amount(text)


def label(text: str) -> tuple[str, str]:
    """`key=value`, split at the first `=`."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.BadParameter(f"{text!r} is no label: write key=value")
    return key, value


def duration(text: str) -> timedelta:
    """`90s`, `5m`, `2h` or `7d`."""
    parsed = _DURATION.fullmatch(text)
    if parsed is None:
        raise click.BadParameter(f"{text!r} is no duration: write 90s, 5m, 2h or 7d")
    return timedelta(seconds=int(parsed.group(1)) * _SECONDS[parsed.group(2)])


def instant(text: str) -> datetime:
    """An instant with its zone, or a date, which is its midnight in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or (moment.tzinfo is None and "T" in text):
        raise click.BadParameter(f"{text!r} is no instant: write 2026-01-31T09:00:00Z, or 2026-01-31 (UTC)")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def organization(text: str) -> str:
    """The id of an organization, with or without `organizations/` before it."""
    id = text.removeprefix("organizations/")
    if not id or "/" in id:
        raise click.BadParameter(f"{text!r} is no organization: write its id, such as acme")
    return id


_DURATION: Final = re.compile(r"([1-9][0-9]{0,7})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

output_option = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or programs."
)
organization_option = click.option(
    "--org",
    "organization",
    type=organization,
    envvar="OUTLAY_ORGANIZATION",
    default="-",
    help="The organization; an organization's own key need not name it. Or OUTLAY_ORGANIZATION.",
)
request_id_option = click.option(
    "--request-id", default="", metavar="ID", help="Repeat a change safely: the same id is the same change."
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
override_manager_option = click.option(
    "--override-manager", is_flag=True, help="Change it although it is kept as code elsewhere."
)
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=DEFAULT_LIMIT, show_default=True, help="At most how many to show."
)


def period_options(command: Command) -> Command:
    """`--since` and `--until`, half-open."""
    until = click.option("--until", type=instant, help="Only what is before this instant.")
    since = click.option("--since", type=instant, help="Only what is at or after this instant (or date, in UTC).")
    return since(until(command))


def child_name(organization: str, collection: str, id: str) -> str:
    """The name of a resource from its id; a name that is given whole is kept."""
    return id if id.startswith("organizations/") else f"organizations/{organization}/{collection}/{id}"
