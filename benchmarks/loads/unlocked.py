"""The same service, asked to read, compare and add without a lock: what the race costs."""

from functools import partial

from benchmarks.loads import one_transaction
from benchmarks.trial import serve_plan

if __name__ == "__main__":
    serve_plan(partial(one_transaction.run, path="/unlocked-checks"))
