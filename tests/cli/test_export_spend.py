"""`outlay export-spend`: every entry once, exact to the micro, in CSV and in Parquet."""

import csv
import io
import json
import re
import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.spend_record_pb2 import SpendRecord
from outlay_cli.main import main
from outlay_cli.spend_export import pages, tables
from support.command_line import Cli
from support.server import ServerProcess
from support.wire import Caller

RECORDS = 1_500
"""More than one page has."""


@pytest.fixture
def spent(shared_server: ServerProcess, organization: str) -> Iterator[Caller]:
    """Fifteen hundred records of three teams, some of which are refunded in part, and two of another unit."""
    name = f"organizations/{organization}"
    with Caller(shared_server.grpc_address, shared_server.admin_key) as admin:
        names = []
        for start in (0, RECORDS // 2):
            requests = [
                pb.RecordSpendRequest(
                    unit="USD",
                    amount_micros=10**15 - number,
                    labels={"team": f"t{number % 3}", "note": 'a "b", é'},
                    request_id=f"r{number}",
                )
                for number in range(start, start + RECORDS // 2)
            ]
            answer = admin.call("BatchRecordSpend", pb.BatchRecordSpendRequest(organization=name, requests=requests))
            names += [result.record.name for result in answer.results]
        for number in range(10):
            request = pb.RefundSpendRequest(
                organization=name, spend_record=names[number], amount_micros=number + 1, request_id=f"f{number}"
            )
            admin.call("RefundSpend", request)
        for number in range(2):
            request = pb.RecordSpendRequest(organization=name, unit="EUR", amount_micros=1, request_id=f"e{number}")
            admin.call("RecordSpend", request)
        yield admin


def by_team(admin: Caller, organization: str) -> dict[str, int]:
    """What QuerySpend says of all USD."""
    request = pb.QuerySpendRequest(organization=f"organizations/{organization}", unit="USD", group_by=["team"])
    now = datetime.now(UTC)
    request.start_time.FromDatetime(now - timedelta(days=1))
    request.end_time.FromDatetime(now)
    sums: dict[str, int] = {}
    for row in admin.call("QuerySpend", request).rows:
        sums[row.labels["team"]] = sums.get(row.labels["team"], 0) + row.spent_micros
    return sums


def test_csv_has_every_entry_once_and_adds_up_to_what_the_service_says(
    cli: Cli, organization: str, spent: Caller, tmp_path: Path
) -> None:
    """Amounts beyond what a float holds come back to the micro, as micros and as decimals."""
    file = tmp_path / "spend.csv"
    arguments = ("--org", organization, "--unit", "USD", "--label-column", "team", "--file", str(file))
    assert cli("export-spend", *arguments).ok().out == f"1510 records written to {file}.\n"
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert len({row["record"] for row in rows}) == len(rows) == RECORDS + 10
    sums: dict[str, int] = {}
    for row in rows:
        assert Decimal(row["spent"]) * 1_000_000 == int(row["spent_micros"])
        assert json.loads(row["labels"]) == {"team": row["label_team"], "note": 'a "b", é'}
        assert row["charge_time"].endswith("Z")
        sums[row["label_team"]] = sums.get(row["label_team"], 0) + int(row["spent_micros"])
    assert sums == by_team(spent, organization)
    assert [row["kind"] for row in rows].count("REFUND") == 10
    assert {row["late"] for row in rows} == {"false"}
    assert [path.name for path in tmp_path.iterdir()] == ["spend.csv"]


def test_parquet_reads_back_to_the_same_sums(cli: Cli, organization: str, spent: Caller, tmp_path: Path) -> None:
    """int64 and text, no float anywhere; instants in UTC to the microsecond."""
    from pyarrow import parquet

    file = tmp_path / "spend.parquet"
    arguments = ("--org", organization, "--unit", "USD", "--label-column", "team", "--file", str(file))
    cli("export-spend", *arguments).ok()
    table = parquet.read_table(file)
    types = {field.name: str(field.type) for field in table.schema}
    assert set(types.values()) == {"string", "int64", "bool", "timestamp[us, tz=UTC]"}
    assert (types["spent_micros"], types["spent"]) == ("int64", "string")
    sums: dict[str, int] = {}
    for row in table.to_pylist():
        assert Decimal(row["spent"]) * 1_000_000 == row["spent_micros"]
        sums[row["label_team"]] = sums.get(row["label_team"], 0) + row["spent_micros"]
    assert sums == by_team(spent, organization)
    times = table.column("charge_time").to_pylist()
    assert times == sorted(times, reverse=True)


def test_standard_output_has_the_table_and_nothing_else(
    cli: Cli, organization: str, spent: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parquet can be piped too, though it ends with a table of where its parts are."""
    from pyarrow import parquet

    for format_ in ("csv", "parquet"):
        found = io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", io.TextIOWrapper(found))
            patch.setenv("OUTLAY_ENDPOINT", spent.address)
            patch.setenv("OUTLAY_API_KEY", spent.key or "")
            assert main(["export-spend", "--org", organization, "--format", format_]) == 0
            data = found.getvalue()
        if format_ == "csv":
            assert data.count(b"\r\n") == 1 + RECORDS + 12
        else:
            assert parquet.read_table(io.BytesIO(data)).num_rows == RECORDS + 12


def test_a_part_of_the_ledger(cli: Cli, organization: str, spent: Caller, tmp_path: Path) -> None:
    """By label and by time."""
    file = tmp_path / "part.csv"
    arguments = ("--org", organization, "--label", "team=t*", "--label", "team=t1")
    assert cli("export-spend", *arguments, "--file", str(file)).code == 1
    assert not list(tmp_path.iterdir())
    cli("export-spend", *arguments[:2], "--label", "team=t1", "--file", str(file)).ok()
    assert len(file.read_text().splitlines()) > RECORDS // 3
    ended = cli("export-spend", "--org", organization, "--until", "2020-01-01", "--file", str(file)).ok()
    assert ended.out.startswith("0 records")
    assert len(file.read_text().splitlines()) == 1


def test_without_pyarrow_parquet_says_what_to_install(
    cli: Cli, organization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves no file."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = cli("export-spend", "--org", organization, "--file", str(tmp_path / "x.parquet"))
    assert ran.code == 1
    assert ran.err == "Error: Parquet needs the module pyarrow. Install it with: pip install 'outlay[parquet]'\n"
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_one_line(cli: Cli, organization: str, tmp_path: Path) -> None:
    ran = cli("export-spend", "--org", organization, "--file", str(tmp_path / "none" / "x.csv"))
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "cannot be written: No such file or directory" in ran.err


def test_rows_of_parquet_are_written_in_groups(
    cli: Cli, organization: str, spent: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that an export of any length takes the memory of one group."""
    from pyarrow import parquet

    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 1_000)
    file = tmp_path / "spend.parquet"
    cli("export-spend", "--org", organization, "--file", str(file)).ok()
    found = parquet.ParquetFile(file)
    assert (found.num_row_groups, found.metadata.num_rows) == (2, RECORDS + 12)


def test_the_commands_of_the_guide_run(
    cli: Cli, organization: str, spent: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they stand in docs/cli.md, in a directory of their own."""
    guide = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    section = guide.partition("\n## Exporting the ledger\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^outlay (export-spend .*)$", section, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    for command in commands:
        cli(*shlex.split(command), ORGANIZATION=organization).ok()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["october.csv", "october.parquet"]


# Outages, from a service that is scripted


class Script(grpc.GenericRpcHandler):
    """Answers each call with the next of its lines: a page, or a failure."""

    def __init__(self, *lines: pb.ListSpendRecordsResponse | status_pb2.Status) -> None:
        self.lines = list(lines)
        self.asked: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        def answer(request: pb.ListSpendRecordsRequest, context: grpc.ServicerContext) -> pb.ListSpendRecordsResponse:
            self.asked.append(request.page_token)
            line = self.lines.pop(0)
            if isinstance(line, status_pb2.Status):
                context.abort_with_status(rpc_status.to_status(line))
            return line

        return grpc.unary_unary_rpc_method_handler(
            answer, pb.ListSpendRecordsRequest.FromString, pb.ListSpendRecordsResponse.SerializeToString
        )


@contextmanager
def serving(script: Script) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1), handlers=(script,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def page(name: str, token: str = "") -> pb.ListSpendRecordsResponse:
    record = SpendRecord(name=f"organizations/a/spendRecords/{name}", unit="USD", amount_micros=1)
    return pb.ListSpendRecordsResponse(spend_records=[record], next_page_token=token)


def unavailable(wait_seconds: int | None = None) -> status_pb2.Status:
    status = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="away")
    if wait_seconds is not None:
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=wait_seconds)))
    return status


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited for, without waiting."""
    found: list[float] = []
    monkeypatch.setattr(pages.time, "sleep", found.append)
    return found


def test_it_goes_on_where_it_was_when_the_service_is_back(offline_cli: Cli, waits: list[float], tmp_path: Path) -> None:
    """Each page once, with growing waits between, and never sooner than the service asked for."""
    script = Script(page("1", "second"), unavailable(), unavailable(7), unavailable(), page("2"))
    file = tmp_path / "x.csv"
    with serving(script) as address:
        ran = offline_cli("export-spend", "--org", "a", "--file", str(file), ENDPOINT=address, API_KEY="sk_x")
    assert ran.code == 0
    assert script.asked == ["", "second", "second", "second", "second"]
    assert [line.split(",")[0] for line in file.read_text().splitlines()[1:]] == ["1", "2"]
    assert len(waits) == 3
    assert 0.25 <= waits[0] <= 0.5
    assert waits[1] == 7
    assert 1 <= waits[2] <= 2
    assert ran.err.count("Trying again in") == 3


def test_it_gives_up_at_last_and_leaves_no_file(
    offline_cli: Cli, waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "GIVEN_UP_AFTER_SECONDS", 5)
    script = Script(page("1", "second"), unavailable(4), unavailable(6))
    with serving(script) as address:
        file = tmp_path / "x.csv"
        ran = offline_cli("export-spend", "--org", "a", "--file", str(file), ENDPOINT=address, API_KEY="sk_x")
    assert ran.code == 1
    assert waits == [4]
    assert not list(tmp_path.iterdir())


def test_any_other_failure_ends_it_at_once(offline_cli: Cli, waits: list[float], tmp_path: Path) -> None:
    script = Script(page("1", "second"), status_pb2.Status(code=code_pb2.NOT_FOUND, message="gone"))
    with serving(script) as address:
        file = tmp_path / "x.csv"
        ran = offline_cli("export-spend", "--org", "a", "--file", str(file), ENDPOINT=address, API_KEY="sk_x")
    assert (ran.code, waits) == (1, [])
    assert not list(tmp_path.iterdir())
