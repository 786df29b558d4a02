"""`outlay serve`, but with one transaction a check: what group commit is worth is the difference.

`python -m benchmarks.ungrouped serve`
"""

from outlay_cli.main import main
from outlay_server.ledger import ledger

# The most that one batch of the write path takes; what waits goes on waiting for its own turn.
_names = vars(ledger)
assert _names["BATCH_MAX"] > 1, "the write path has no BATCH_MAX that could be taken away"
_names["BATCH_MAX"] = 1

if __name__ == "__main__":
    main()
