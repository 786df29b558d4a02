"""`outlay serve`: the service, in this process."""

import click


@click.command()
def serve() -> int:
    """Serve gRPC, REST and metrics.

    Every setting is an OUTLAY_ variable; docs/settings.md lists them. Listening lines and `ready` go to standard
    output, logs to standard error.
    """
    from outlay_server.server.run import serve_from_environment

    return serve_from_environment()
