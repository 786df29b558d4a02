"""Every block of `docs/sdk.md` runs against a real server, in order, as one program."""

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette

import outlay_client
from client.books import spent_and_held
from support.server import ServerProcess
from support.tenants import Tenant

PAGE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_runs(
    shared_server: ServerProcess,
    tenant: Tenant,
    key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTLAY_ENDPOINT", shared_server.grpc_address)
    monkeypatch.setenv("OUTLAY_API_KEY", key)
    names: dict[str, Any] = {
        "call_the_model": lambda: SimpleNamespace(cost_micros=180_000),
        "app": Starlette(),
    }
    for number, block in enumerate(BLOCKS):
        here = block.replace("127.0.0.1:50051", os.environ["OUTLAY_ENDPOINT"]).replace("sk_…", key)
        exec(compile(here.replace("/var/lib/app/", ""), f"block {number} of sdk.md", "exec"), names)
        # A journal has one client at a time, and so has each block that opens one.
        if "AllowUpTo(" in block:
            names["client"].close()
            names["client"] = outlay_client.Client()
        elif "with Client(" in block:
            names["client"] = outlay_client.Client()
    names["client"].close()
    assert capsys.readouterr().out.splitlines() == ["200", "HELLO"]
    # 0.18, 0.18 less 0.03, 0.18 without a reservation and where a lease stands by, then 5 × 300; 200 checks are held.
    assert spent_and_held(tenant) == (180_000 + 150_000 + 2 * 180_000 + 1_500, 200_000)


def test_every_name_that_the_page_shows_is_there() -> None:
    shown = {
        name
        for block in BLOCKS
        for line in re.findall(r"from outlay_client import (.*)", block)
        for name in line.split(", ")
    }
    assert shown <= set(outlay_client.__all__)


def test_every_exception_of_the_table_is_there() -> None:
    table = PAGE.partition("| exception | when |")[2].partition("\n\n")[0]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    errors = {name for name in outlay_client.__all__ if isinstance(getattr(outlay_client, name), type)}
    assert named == {"Denied", "Unavailable", "OutlayRpcError", "SettingsError", "JournalError"}
    assert named <= errors
