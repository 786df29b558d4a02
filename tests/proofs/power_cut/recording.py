"""A run of the server under load: every operation on its files, and every answer that a caller was given, by time."""

import asyncio
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outlay.v1 import budget_service_pb2 as pb
from support.tenants import new_key, new_tenant
from support.wire import AsyncCaller, Caller

CALLERS: Final = 12
START_SECONDS: Final = 60.0
_HEAD: Final = struct.Struct("=QIIQQ")
_SOURCE: Final = Path(__file__).with_name("recorder.c")
_ROOT: Final = Path(__file__).parents[3]

WRITE, SYNC, TRUNCATE, UNLINK = 1, 2, 3, 4
DATABASE, LOG, JOURNAL, DIRECTORY = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that was done to a file."""

    nanoseconds: int
    kind: int
    file: int
    offset: int
    """Of a truncation the new length."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """What happened."""

    operations: list[Operation]
    acknowledged: list[tuple[int, str]]
    """(nanoseconds, request_id) of every answer, ascending."""


def compiler() -> str | None:
    """The C compiler; None where there is none, or this is not Linux."""
    return (shutil.which("cc") or shutil.which("gcc")) if sys.platform == "linux" else None


def record(folder: Path, synchronous: str, seconds: float) -> Recording:
    """Run the server in `folder` for some seconds of load."""
    found = compiler()
    assert found is not None
    library, trace, data = folder / "recorder.so", folder / "trace", folder / "data"
    subprocess.run([found, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl", "-lpthread"], check=True)
    admin_key = new_key()
    own = {
        "LD_PRELOAD": str(library),
        "OUTLAY_TRACE": str(trace),
        "OUTLAY_TRACED": str(data / "outlay.db"),
        "OUTLAY_DATA_DIR": str(data),
        "OUTLAY_ADMIN_KEY": admin_key,
        "PYTHONPATH": str(_ROOT / "tests"),
        **{f"OUTLAY_{face}_ADDRESS": "127.0.0.1:0" for face in ("GRPC", "HTTP", "METRICS")},
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "proofs.power_cut.server", synchronous],
            env={**inherited, **own},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        acknowledged = asyncio.run(_work(_address(server), admin_key, seconds))
    finally:
        server.kill()
        server.wait()
    return Recording(list(_operations(trace)), sorted(acknowledged))


def _address(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    address, ends_at = "", time.monotonic() + START_SECONDS
    for line in server.stdout:
        if line.startswith("gRPC "):
            address = line.split()[1]
        if line.strip() == "ready":
            return address
        assert time.monotonic() < ends_at
    raise AssertionError("the server did not start")


async def _work(address: str, admin_key: str, seconds: float) -> list[tuple[int, str]]:
    """Spend, and note when each answer was there."""
    with Caller(address, admin_key) as admin:
        tenant = new_tenant(admin)
    acknowledged: list[tuple[int, str]] = []
    ends_at = time.monotonic() + seconds

    async def work(number: int) -> None:
        async with AsyncCaller(address, admin_key) as caller:
            count = 0
            while time.monotonic() < ends_at:
                count += 1
                request_id = f"caller-{number}-{count}"
                request = tenant.check(1, mode=pb.CHECK_MODE_RECORD, request_id=request_id)
                answer = await caller.call("CheckSpend", request)
                assert answer.decision == pb.DECISION_ALLOWED
                acknowledged.append((time.monotonic_ns(), request_id))

    await asyncio.gather(*(work(number) for number in range(CALLERS)))
    return acknowledged


def _operations(trace: Path) -> Iterator[Operation]:
    content, position = trace.read_bytes(), 0
    while position < len(content):
        nanoseconds, kind, file, offset, length = _HEAD.unpack_from(content, position)
        position += _HEAD.size
        size = length if kind == WRITE else 0
        yield Operation(nanoseconds, kind, file, offset, content[position : position + size])
        position += size
    assert position == len(content), "the last record is cut"
