"""The same calls as lines to paste into a shell."""

import json
import os
import shutil
import sys
from pathlib import Path

from outlay_cli.demo import billing_face


def lines(*, grpc_address: str, http_url: str, api_key: str) -> list[str]:
    """Shell commands, one a line except for the Python ones; each works as it stands while the server runs."""
    face = f"{http_url}{billing_face.PATH}"
    bearer = '"Authorization: Bearer $OUTLAY_API_KEY"'
    body = json.dumps(billing_face.HARD_CAP)
    request = json.dumps({"unit": "USD", "amount_micros": 10_000})
    return [
        f"export OUTLAY_API_KEY={api_key} OUTLAY_ENDPOINT={grpc_address}",
        "",
        f"curl -s {face} -H {bearer}",
        f"curl -s {face} -H {bearer} -H 'Content-Type: application/json' -d '{body}'",
        "",
        f"{_tool('grpcurl')} -plaintext -H {bearer} -d '{request}' {grpc_address} outlay.v1.BudgetService/CheckSpend",
        "",
        f"{_tool('outlay')} budgets get spending",
        f"{_tool('outlay')} spend check 0.01 --unit USD",
        "",
        f"{_tool('python')} - <<'END'",
        *_PYTHON.strip().splitlines(),
        "END",
    ]


_PYTHON = """
import os, grpc
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.budget_service_pb2_grpc import BudgetServiceStub

budgets = BudgetServiceStub(grpc.insecure_channel(os.environ["OUTLAY_ENDPOINT"]))
key = (("authorization", f"Bearer {os.environ['OUTLAY_API_KEY']}"),)
print(budgets.CheckSpend(pb.CheckSpendRequest(unit="USD", amount_micros=10_000), metadata=key))
"""


def _tool(name: str) -> str:
    """The command as it can be called from here: that of this environment before one on the PATH."""
    own = Path(sys.executable).with_name(name)
    return name if shutil.which(name) == str(own) or not own.exists() else _shown(own)


def _shown(path: Path) -> str:
    """Relative where that is shorter to read."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
