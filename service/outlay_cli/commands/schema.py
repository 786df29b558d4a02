"""`outlay schema`: the JSON Schema of the files, for editors."""

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of the files, for editors.

    A running service has it at /schema/caps.json, and `outlay export` writes it beside the files.
    """
    from outlay_sync.schema import schema_bytes

    click.echo(schema_bytes(), nl=False)
