"""What the process does while it serves and how it ends: drains, outages of the database, metrics, logs, traces."""

import asyncio
import gzip
import os
import signal
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.budget_pb2 import ENFORCEMENT_FREEZE
from support.postgres import PostgresServer
from support.server import ServerProcess
from support.tenants import Tenant, new_key, new_tenant
from support.wire import AsyncCaller, Caller, Failure

StartServer = Callable[..., ServerProcess]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def eventually(holds: Callable[[], bool], within_seconds: float = 10.0) -> float:
    """Wait until something holds and return how many seconds that took. Fails where it does not."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < within_seconds, "it never came about"
        time.sleep(0.01)
    return time.monotonic() - started


def health_of(server: ServerProcess) -> int:
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        status: int = stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status
        return status


@pytest.fixture
def admin_of(request: pytest.FixtureRequest) -> Callable[[ServerProcess], Caller]:
    """A caller with the platform key of a server."""

    def connect(server: ServerProcess) -> Caller:
        caller = Caller(server.grpc_address, server.admin_key)
        request.addfinalizer(caller.close)
        return caller

    return connect


AdminOf = Callable[[ServerProcess], Caller]


# The end


async def test_calls_in_flight_are_answered_before_the_process_ends(
    start_server: StartServer, admin_of: AdminOf
) -> None:
    server = start_server(environment={"OUTLAY_SHUTDOWN_DELAY_SECONDS": "0"})
    tenant = await asyncio.to_thread(lambda: new_tenant(admin_of(server)))
    body = tenant.check(1).SerializeToString()
    async with AsyncCaller(server.grpc_address, server.admin_key) as caller:
        await caller.raw("CheckSpend", body)
        calls = [caller.start("CheckSpend", body) for _ in range(500)]
        await calls[0]
        status = asyncio.get_running_loop().run_in_executor(None, server.terminate)
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, BaseException)] == []
    assert await status == 0
    assert _held(server) == 501


def _held(server: ServerProcess) -> int:
    with sqlite3.connect(server.data_dir / "outlay.db") as books:
        (count,) = books.execute("SELECT COUNT(*) FROM reservations WHERE state = 'OPEN'").fetchone()
    return int(count)


def test_balancers_hear_of_the_end_before_connections_are_refused(start_server: StartServer, admin_of: AdminOf) -> None:
    server = start_server(environment={"OUTLAY_SHUTDOWN_DELAY_SECONDS": "1"})
    admin = admin_of(server)
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        first = next(watch).status
        ended = threading.Thread(target=server.terminate)
        ended.start()
        last = next(watch).status
        ready = httpx2.get(f"{server.http_url}/readyz").status_code
        new_tenant(admin)  # still answered
        rest = list(watch)
    ended.join()
    assert (first, last, ready, rest) == (SERVING, NOT_SERVING, 503, [])


def test_who_watches_does_not_hold_up_the_end(start_server: StartServer) -> None:
    server = start_server(environment={"OUTLAY_SHUTDOWN_DELAY_SECONDS": "0", "OUTLAY_DRAIN_SECONDS": "30"})
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        next(watch)
        assert server.terminate(timeout_seconds=15) == 0


def test_a_second_request_to_end_is_obeyed_at_once(start_server: StartServer) -> None:
    server = start_server(environment={"OUTLAY_SHUTDOWN_DELAY_SECONDS": "300"})
    os.kill(server.pid, signal.SIGTERM)
    eventually(lambda: health_of(server) == NOT_SERVING)
    assert server.terminate() == -signal.SIGTERM


# The database dies and returns


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that this test may kill."""
    server = PostgresServer().start()
    yield server
    server.close()


def test_an_outage_of_the_database_is_survived(
    postgres: PostgresServer, start_server: StartServer, admin_of: AdminOf
) -> None:
    """Meanwhile calls fail fast as UNAVAILABLE and health says so; a second after its return all is well again."""
    url = postgres.url(postgres.create_database())
    server = start_server(database_url=url, environment={"OUTLAY_MIGRATE": "true"})
    admin = admin_of(server)
    tenant = new_tenant(admin)
    key = tenant.caller()
    key.call("CheckSpend", tenant.check(1))

    postgres.kill9()
    eventually(lambda: health_of(server) == NOT_SERVING)
    started = time.monotonic()
    failures = [admin.fails("CheckSpend", tenant.check(1)), key.fails("RecordSpend", tenant.record(1))]
    seconds = time.monotonic() - started
    down = [httpx2.get(f"{server.http_url}/readyz").status_code, metric(server, "outlay_storage_up"), server.running]

    postgres.start()
    back_after = eventually(lambda: health_of(server) == SERVING)
    answered_after = back_after + eventually(lambda: _answers(key, tenant))
    assert [(failure.code, failure.reason) for failure in failures] == [
        (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    ] * 2
    assert (down, seconds < 3.0, back_after < 1.0, answered_after < 1.5) == ([503, 0.0, True], True, True, True)
    key.close()


def _answers(caller: Caller, tenant: Tenant) -> bool:
    with suppress(Failure):
        caller.call("CheckSpend", tenant.check(1))
        return True
    return False


# The sweep


def test_an_expired_reservation_is_settled_though_nobody_asks(start_server: StartServer, admin_of: AdminOf) -> None:
    server = start_server()
    tenant = new_tenant(admin_of(server))
    check = tenant.check(5)
    check.reservation_ttl.seconds = 1
    tenant.admin.call("CheckSpend", check)

    def settled() -> bool:
        with sqlite3.connect(f"file:{server.data_dir}/outlay.db?mode=ro", uri=True) as books:
            states: list[tuple[str]] = books.execute("SELECT state FROM reservations").fetchall()
            return states == [("EXPIRED",)]

    eventually(settled)


def test_old_request_ids_are_forgotten_beside_the_calls(start_server: StartServer, admin_of: AdminOf) -> None:
    """By the process itself, soon after its start."""
    server = start_server()
    tenant = new_tenant(admin_of(server))
    for request_id in ("old", "young"):
        tenant.admin.call("CheckSpend", tenant.check(1, request_id=request_id))
    server.terminate()
    with sqlite3.connect(server.data_dir / "outlay.db") as books:
        books.execute("UPDATE requests SET create_time = 0 WHERE request_id = 'old'")
    server.restart()

    def kept() -> list[tuple[str]]:
        with sqlite3.connect(f"file:{server.data_dir}/outlay.db?mode=ro", uri=True) as books:
            return books.execute("SELECT request_id FROM requests").fetchall()

    eventually(lambda: ("old",) not in kept())
    assert ("young",) in kept()


# Metrics


def metric(server: ServerProcess, name: str, **labels: str) -> float:
    """One sample; 0 where there is none."""
    for family in text_string_to_metric_families(httpx2.get(server.metrics_url).text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return 0.0


def denied_for_every_reason(tenant: Tenant) -> None:
    """Have one check denied for each reason."""
    admin = tenant.admin
    tenant.cap(100)
    admin.call("CheckSpend", tenant.check(60))
    admin.call("CheckSpend", tenant.check(60))  # HELD_BY_RESERVATIONS
    admin.call("CheckSpend", tenant.check(101))  # HARD_CAP_REACHED
    admin.call("CheckSpend", tenant.check(1, labels={"model": "claude-opus-4"}))  # GATE_DISABLED
    tenant.create_budget("frozen", unit="TOKENS", enforcement=ENFORCEMENT_FREEZE)
    admin.call("CheckSpend", tenant.check(1, unit="TOKENS"))  # FROZEN
    tenant.create_budget("plan", unit="REQUESTS", allotment_micros=5)
    admin.call("CheckSpend", tenant.check(6, unit="REQUESTS"))  # ALLOTMENT_EXHAUSTED


def test_every_metric_is_produced(start_server: StartServer, admin_of: AdminOf) -> None:
    """What a dashboard asks for and nothing ever sets would read as a quiet system."""
    server = start_server()
    tenant = new_tenant(admin_of(server))
    denied_for_every_reason(tenant)
    record = tenant.admin.call("RecordSpend", tenant.record(3, unit="CREDITS")).spend_record
    tenant.admin.call(
        "RefundSpend", pb.RefundSpendRequest(organization=tenant.name, spend_record=record.name, request_id="refund")
    )
    failure = tenant.admin.fails("GetBudget", pb.GetBudgetRequest(name=tenant.child("budgets", "missing")))
    assert failure.code is grpc.StatusCode.NOT_FOUND

    families = list(text_string_to_metric_families(httpx2.get(server.metrics_url).text))
    ours = {family.name: family for family in families if family.name.startswith("outlay_")}
    # Nothing waits and nothing is under way while the page is written: these are seen at 0 only. Those of deliveries
    # `tests/server/test_delivery.py` produces; here, for a moment, an event may wait for its fan-out.
    at_rest = {"outlay_calls_in_flight", "outlay_ledger_queue_depth"}
    of_deliveries = {name for name in ours if name.startswith(("outlay_deliver", "outlay_events"))}
    unset = {
        name for name, family in ours.items() if not any(sample.value for sample in family.samples)
    } - of_deliveries
    decisions = {
        (sample.labels["decision"], sample.labels["reason"]): sample.value
        for sample in ours["outlay_decisions"].samples
    }
    assert unset == at_rest
    assert decisions == {
        ("allowed", ""): 1,
        ("denied", "GATE_DISABLED"): 1,
        ("denied", "FROZEN"): 1,
        ("denied", "HARD_CAP_REACHED"): 1,
        ("denied", "ALLOTMENT_EXHAUSTED"): 1,
        ("denied", "HELD_BY_RESERVATIONS"): 1,
    }
    assert metric(server, "outlay_calls_total", method="GetBudget", code="NOT_FOUND") == 1
    assert metric(server, "outlay_spend_records_total", kind="REFUND") == 1
    assert metric(server, "outlay_open_reservations") == 1


def test_no_label_holds_what_a_caller_chose(start_server: StartServer, admin_of: AdminOf) -> None:
    server = start_server()
    tenant = new_tenant(admin_of(server))
    tenant.admin.call("CheckSpend", tenant.check(1, unit="TOKENS", labels={"customer": "bellweather"}))
    tenant.admin.fails("/outlay.v1.BudgetService/Bellweather", b"")
    page = httpx2.get(server.metrics_url).text
    assert [word in page for word in (tenant.organization_id, "TOKENS", "ellweather")] == [False] * 3


# Logs


def test_no_log_ever_holds_a_key(start_server: StartServer, admin_of: AdminOf) -> None:
    """Not at debug either, and wherever in a call it was put."""
    server = start_server(environment={"OUTLAY_LOG_LEVEL": "debug", "OUTLAY_SLOW_CALL_SECONDS": "0.0001"})
    tenant = new_tenant(admin_of(server))
    key, wrong = tenant.key().secret, new_key()
    for used in (key, wrong, wrong[:-4], server.admin_key):
        caller = tenant.admin.with_key(used)
        for request in (
            tenant.check(1, labels={"key": used}),
            tenant.check(1, request_id=used),
            tenant.check(1, unit=used),
        ):
            with suppress(Failure):
                caller.call("CheckSpend", request, metadata=(("x-request-id", used),))
        with suppress(Failure):
            caller.raw(f"/outlay.v1.BudgetService/{used}", b"")
        httpx2.get(f"{server.http_url}/v1/usage/budget?api_key={used}", headers={"Authorization": f"Bearer {used}"})
        httpx2.get(f"{server.http_url}/{used}", headers={"X-Request-Id": used})
        caller.close()
    said = server.stderr_text()
    assert [secret[:-4] in said for secret in (key, wrong, server.admin_key)] == [False] * 3
    assert (said.count('"call failed"') > 0, said.count('"slow call"') > 0) == (True, True)


def test_a_failed_call_is_found_in_the_log_by_its_id(start_server: StartServer, admin_of: AdminOf) -> None:
    server = start_server()
    admin = admin_of(server)
    mark = uuid.uuid4().hex
    request = pb.GetBudgetRequest(name="organizations/none/budgets/none")
    admin.fails("GetBudget", request, metadata=(("x-request-id", mark),))
    (line,) = [line for line in server.stderr_text().splitlines() if mark in line]
    assert '"code": "NOT_FOUND"' in line


# Traces


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Span]]]:
    """An OTLP receiver on loopback: its endpoint, and every span that it was sent."""
    spans: list[Span] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            sent = ExportTraceServiceRequest.FromString(body)
            assert self.path == "/v1/traces"
            spans.extend(span for group in sent.resource_spans for scope in group.scope_spans for span in scope.spans)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{receiver.server_port}", spans
    receiver.shutdown()
    thread.join()
    receiver.server_close()


@pytest.mark.parametrize("variable", ["OUTLAY_OTEL_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_a_call_is_a_span_under_its_callers_own(
    collector: tuple[str, list[Span]], start_server: StartServer, variable: str
) -> None:
    """Over gRPC and over REST, with the code of a failure; and the last spans are sent before the process ends."""
    endpoint, spans = collector
    server = start_server(environment={variable: endpoint})
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    traceparent = f"00-{trace_id}-{parent_id}-01"
    headers = {"traceparent": traceparent, "authorization": f"Bearer {server.admin_key}"}
    name = "organizations/none/budgets/none"
    with Caller(server.grpc_address, server.admin_key) as admin:
        admin.fails("GetBudget", pb.GetBudgetRequest(name=name), metadata=(("traceparent", traceparent),))
    httpx2.get(f"{server.http_url}/v1/{name}", headers=headers)
    assert server.terminate() == 0
    found = [
        (span.name, span.trace_id.hex(), span.parent_span_id.hex(), span.status.code == span.status.STATUS_CODE_ERROR)
        for span in spans
    ]
    sources = {
        attribute.value.string_value
        for span in spans
        for attribute in span.attributes
        if attribute.key == "outlay.source"
    }
    assert found == [("outlay.v1.BudgetService/GetBudget", trace_id, parent_id, True)] * 2
    assert {source.lower() for source in sources} == {"grpc", "rest"}
