"""`python -m outlay_server.server`: what `outlay serve` does."""

import sys

from outlay_server.server.run import serve_from_environment

if __name__ == "__main__":
    sys.exit(serve_from_environment())
