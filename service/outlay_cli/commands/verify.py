"""`outlay verify`: the books recomputed from the ledger."""

from typing import TYPE_CHECKING, Any

import click

from outlay_cli import options, output
from outlay_cli.exits import ExitCode

if TYPE_CHECKING:
    from outlay_cli.recomputed import Recomputed


@click.command()
@options.output_option
def verify(output: str) -> int:
    """Recompute counters and audit chain from the ledger.

    Reads the database of the settings itself, beside a running service too, and writes nothing. Names the first row
    that disagrees and exits 1.
    """
    from outlay_cli import database, recomputed

    result = database.read_snapshot(database.load_settings(), recomputed.recompute)
    (_show_json if output == "json" else _show_text)(result)
    return ExitCode.DONE if result.books.disagreement is None else ExitCode.ERROR


def _counts(result: "Recomputed") -> dict[str, int]:
    books = result.books
    return {
        "organizations": books.organizations,
        "budgets": books.budgets,
        "counters": books.counters,
        "records": books.records,
        "rollups": books.rollups,
        "open_reservations": books.open_reservations,
        "audit_events": books.audit_events,
    }


def _show_text(result: "Recomputed") -> None:
    from outlay_cli import text

    wrong = result.books.disagreement
    if wrong is not None:
        click.echo(
            text.printable(f"organizations/{wrong.organization_id}: {wrong.where}: {wrong.found} is stored,")
            + text.printable(f" {wrong.expected} is what the ledger says.")
        )
        return
    counts = [(name.replace("_", " "), str(count)) for name, count in _counts(result).items()]
    sums = [
        (unit.unit, f"{text.amount(unit.spent_micros)} spent, {text.amount(unit.held_micros)} held")
        for unit in result.units
    ]
    output.print_details([*counts, *sums])
    click.echo("The books agree with the ledger.")


def _show_json(result: "Recomputed") -> None:
    wrong = result.books.disagreement
    disagreement: dict[str, Any] | None = None
    if wrong is not None:
        disagreement = {
            "organization": f"organizations/{wrong.organization_id}",
            "where": wrong.where,
            "found": wrong.found,
            "expected": wrong.expected,
        }
    units = [
        {"unit": unit.unit, "spent_micros": str(unit.spent_micros), "held_micros": str(unit.held_micros)}
        for unit in result.units
    ]
    output.print_json({"agrees": wrong is None, **_counts(result), "units": units, "disagreement": disagreement})
