"""The entry point: which commands there are, and what the process exits with."""

import sys
from collections.abc import Sequence

import click

from outlay_cli.exits import ExitCode
from outlay_cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "serve": LazyCommand("outlay_cli.commands.serve:serve", "Serve gRPC, REST and metrics."),
    "demo": LazyCommand("outlay_cli.commands.demo:demo", "Watch caps, alerts, a crash and a denial on a live server."),
    "orgs": LazyCommand("outlay_cli.commands.orgs:orgs", "Organizations and their gates."),
    "keys": LazyCommand("outlay_cli.commands.keys:keys", "API keys."),
    "budgets": LazyCommand("outlay_cli.commands.budgets:budgets", "Budgets, their caps and their current spend."),
    "spend": LazyCommand("outlay_cli.commands.spend:spend", "Check and record spend; read the ledger."),
    "export-spend": LazyCommand("outlay_cli.commands.export_spend:export_spend", "Write the ledger as CSV or Parquet."),
    "webhooks": LazyCommand("outlay_cli.commands.webhooks:webhooks", "Where events are sent: webhooks, Slack, mail."),
    "alerts": LazyCommand("outlay_cli.commands.alerts:alerts", "Thresholds that were crossed."),
    "audit": LazyCommand("outlay_cli.commands.audit:audit", "Who changed what."),
    "validate": LazyCommand("outlay_cli.commands.validate:validate", "Check files of caps, offline."),
    "plan": LazyCommand("outlay_cli.commands.plan:plan", "Show what applying the files would change."),
    "apply": LazyCommand("outlay_cli.commands.apply:apply", "Make the service what the files say."),
    "drift": LazyCommand("outlay_cli.commands.plan:drift", "Show what was changed outside of the files, and by whom."),
    "export": LazyCommand("outlay_cli.commands.export:export", "Write what exists as files that plan nothing."),
    "schema": LazyCommand("outlay_cli.commands.schema:schema", "Print the JSON Schema of the files, for editors."),
    "top": LazyCommand("outlay_cli.commands.top:top", "Watch spend against caps, the fullest budget first."),
    "verify": LazyCommand("outlay_cli.commands.verify:verify", "Recompute counters and audit chain from the ledger."),
    "migrate": LazyCommand("outlay_cli.commands.migrate:migrate", "Bring the database to this version's schema."),
}

EPILOG = """\b
Environment of the commands that call a service:
  OUTLAY_ENDPOINT      host:port, or https://host:port for TLS (127.0.0.1:50051)
  OUTLAY_API_KEY       the key to call with
  OUTLAY_API_KEY_FILE  or a file of mode 0600 that holds it
  OUTLAY_ORGANIZATION  the organization that --org names
  OUTLAY_CA_FILE       the certificates to trust, PEM

\b
Exit codes: 0 done or allowed, 1 error, 2 changes (where asked for),
3 denied or done in part, 64 usage, 130 interrupted."""


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"outlay {version('outlay')}")
    context.exit()


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Spend caps that hold: check and record spend against budgets."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; expected failures are one line on standard error."""
    try:
        status = cli.main(args=arguments, prog_name="outlay", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        error.show()
        return ExitCode.ERROR
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return ExitCode.INTERRUPTED
    return status if isinstance(status, int) else ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
