"""A process that spends from a lease as fast as it can, and journals each admission before anything follows from it.

    python holder.py ADDRESS JOURNAL OPTIONS-AS-JSON        (the key in OUTLAY_API_KEY)

It is there to be killed. A line of the journal is an amount; the file is written without a buffer, so what SIGKILL
leaves is what was admitted, or one admission less.
"""

import json
import os
import sys
import time

import grpc

from outlay_client.leases import GrpcLeaseTransport, LeaseOptions, ThreadLease


def main(address: str, journal: str, options: str) -> None:
    channel = grpc.insecure_channel(address)
    transport = GrpcLeaseTransport(channel, os.environ["OUTLAY_API_KEY"])
    lease = ThreadLease(transport, LeaseOptions(**json.loads(options))).start()
    with open(journal, "ab", buffering=0) as file:  # noqa: PTH123
        number = 0
        while True:
            number += 1
            amount_micros = 100 + number % 7
            if lease.admit(amount_micros, {"job": str(number % 3)}):
                file.write(b"%d\n" % amount_micros)
            else:
                time.sleep(0.001)


if __name__ == "__main__":
    main(*sys.argv[1:])
