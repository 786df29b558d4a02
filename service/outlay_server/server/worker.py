"""One worker of several: `python -m outlay_server.server.worker HTTP_FD LIFELINE_FD`, started by `workers`."""

import socket
import sys

from outlay_server.server.inherited import Inherited
from outlay_server.server.run import serve_from_environment


def main(http_fd: str, lifeline_fd: str) -> int:
    """Serve at the gRPC address of the environment, beside the others, and at a listening socket that all have."""
    inherited = Inherited(socket.socket(fileno=int(http_fd)), int(lifeline_fd))
    inherited.end_with_parent()
    return serve_from_environment(inherited=inherited)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
