"""`outlay demo`: a living example, on a server of its own."""

import asyncio

import click


@click.command()
@click.option("--keep", is_flag=True, help="Keep the server running afterwards, to try the commands by hand.")
def demo(keep: bool) -> int:
    """Watch caps, alerts, a crash and a denial on a live server.

    Starts a server on free ports with an empty database in a temporary folder (with OUTLAY_DATABASE_URL: on that
    PostgreSQL, in an organization of its own), lets 64 callers spend against a cap, kills the server with -9 under
    them, and compares the books. Exits 1 where they differ.
    """
    from outlay_cli.demo import story

    try:
        return story.run(keep=keep)
    except asyncio.CancelledError:
        raise click.Abort from None
