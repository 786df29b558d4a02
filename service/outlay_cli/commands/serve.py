"""`outlay serve`: the service, in this process or in several that it starts."""

import click


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that serve together, on PostgreSQL. Default: OUTLAY_WORKERS, else 1.",
)
def serve(workers: int | None) -> int:
    """Serve gRPC, REST and metrics.

    Every setting is an OUTLAY_ variable; docs/settings.md lists them. Listening lines and `ready` go to standard
    output, logs to standard error.
    """
    from outlay_server.server.run import serve_from_environment

    return serve_from_environment(workers=workers)
