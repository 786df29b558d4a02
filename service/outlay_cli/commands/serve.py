"""`outlay serve`: the service, in this process."""

import click


@click.command()
def serve() -> int:
    """Serve gRPC, REST and metrics.

    Every setting is an OUTLAY_ variable; docs/settings.md lists them. Listening lines and `ready` go to standard
    output, logs to standard error.
    """
    from outlay_server.server.run import serve as serve_until_stopped

    from outlay_cli.database import load_settings

    return serve_until_stopped(load_settings())
