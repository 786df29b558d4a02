"""Records spend until it is killed, and says each amount on standard output once it was acknowledged to it.

python worker.py ENDPOINT KEY JOURNAL
"""

import itertools
import sys

from outlay_client import Client


def main() -> None:
    endpoint, key, journal = sys.argv[1:]
    client = Client(endpoint, key, journal=journal, timeout_seconds=0.3)
    for number in itertools.count(1):
        client.record(number)
        print(number, flush=True)


if __name__ == "__main__":
    main()
