"""`outlay migrate`: the schema of the database."""

import click


@click.command()
def migrate() -> None:
    """Bring the database to this version's schema.

    Safe to repeat, and for replicas to run at the same time. `outlay serve` does it by itself for the embedded
    database.
    """
    from outlay_cli import database

    revision = database.migrate(database.load_settings())
    click.echo(f"schema {revision}")
