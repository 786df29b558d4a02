"""The composition root: every part of the service, made from the settings and handed to those who need it.

Nothing is started here and nothing is bound; `run` does that, and ends it.
"""

from dataclasses import dataclass
from importlib.metadata import version as version_of
from typing import Final

import grpc
from sqlalchemy import Connection, func, select
from starlette.applications import Starlette

from outlay_rest import create_app
from outlay_server.api.authentication import Authenticator, StoreKeys
from outlay_server.api.dispatcher import SERVICES, Dispatcher
from outlay_server.api.grpc_edge import add_services
from outlay_server.domain.reservation import ReservationState
from outlay_server.ledger import Ledger
from outlay_server.server.background import StorageWatch, Sweep
from outlay_server.server.call_log import CallLog
from outlay_server.server.delivery import Delivery, build_delivery
from outlay_server.server.grpc_server import create_grpc_server
from outlay_server.server.health import Health
from outlay_server.server.metrics import Metrics
from outlay_server.server.metrics_app import create_metrics_app
from outlay_server.server.pruning import RequestIdPruning
from outlay_server.server.rest_call import rest_call, rest_stream
from outlay_server.server.retention import Retention
from outlay_server.server.settings import PostgresDatabase, Settings, SqliteDatabase
from outlay_server.server.telemetry import Telemetry
from outlay_server.server.tracing import TraceContext, TracedDispatcher, Tracing
from outlay_server.store import tables
from outlay_server.store.contract import Store, StoreUnusable
from outlay_server.store.ids import wall_clock
from outlay_server.watch import WatchHub
from outlay_sync.schema import schema_bytes

VERSION: Final = version_of("outlay")


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that has a life of its own, as yet unstarted."""

    store: Store
    ledger: Ledger
    authenticator: Authenticator
    dispatcher: Dispatcher
    telemetry: Telemetry
    health: Health
    watch_hub: WatchHub
    storage_watch: StorageWatch
    delivery: Delivery
    sweep: Sweep
    pruning: RequestIdPruning
    retention: Retention
    grpc_server: grpc.aio.Server
    rest_app: Starlette
    metrics_app: Starlette


def create_store(settings: Settings, *, read_timeout_seconds: float | None = None) -> Store:
    """Return the store that the settings name. Raises `StoreUnusable` where its driver is not installed.

    `read_timeout_seconds` is for reading all of a PostgreSQL's ledger.
    """
    match settings.database:
        case SqliteDatabase(path):
            from outlay_server.store.sqlite import SqliteStore

            return SqliteStore(path)
        case PostgresDatabase(url):
            try:
                from outlay_server.store.postgres import PostgresStore
            except ModuleNotFoundError as error:
                raise StoreUnusable(
                    f"PostgreSQL needs the module {error.name}. Install it with: pip install 'outlay[postgres]'"
                ) from error
            return PostgresStore(url.get_secret_value(), read_timeout_seconds=read_timeout_seconds)


def build(
    settings: Settings,
    store: Store,
    admin_key_hash: bytes,
    tracing: Tracing | None,
    *,
    shares_port: bool = False,
) -> Service:
    """Return the service on a store, which need not be open yet. Workers of one parent share the gRPC port."""
    metrics = Metrics(version=VERSION, storage="postgresql" if store.capabilities.replicas else "sqlite")
    watch_hub = WatchHub(store)
    telemetry = Telemetry(metrics, CallLog(settings.slow_call_seconds), committed=watch_hub.committed)
    ledger = Ledger(store, observer=telemetry)
    authenticator = Authenticator(StoreKeys(store), admin_key_hash, wall_clock)
    health = Health()
    names = tuple(service.full_name for service in SERVICES)
    delivery = build_delivery(settings, store, VERSION)
    metrics.registry.register(delivery.metrics)
    dispatcher: Dispatcher

    def add_ours(server: grpc.aio.Server) -> None:
        add_services(server, dispatcher)

    if tracing is None:
        dispatcher = Dispatcher(
            store=store,
            ledger=ledger,
            authenticator=authenticator,
            observer=telemetry,
            watch_hub=watch_hub,
            webhooks=delivery.webhooks,
        )
        grpc_server = create_grpc_server(health, names, add_ours, shares_port=shares_port)
    else:
        dispatcher = TracedDispatcher(
            tracing.tracer,
            store=store,
            ledger=ledger,
            authenticator=authenticator,
            observer=telemetry,
            watch_hub=watch_hub,
            webhooks=delivery.webhooks,
        )
        grpc_server = create_grpc_server(
            health, names, add_ours, shares_port=shares_port, interceptors=(TraceContext(),)
        )
    metrics.watch(calls_in_flight=lambda: dispatcher.in_flight, queue_depth=lambda: ledger.queue_depth)

    def storage_answers(answers: bool) -> None:
        health.set_serving(answers)
        metrics.storage_answers(answers)

    def is_ready() -> bool:
        return health.is_serving

    async def count_open_reservations() -> int:
        return await store.read(_open_reservations)

    return Service(
        store=store,
        ledger=ledger,
        authenticator=authenticator,
        dispatcher=dispatcher,
        telemetry=telemetry,
        health=health,
        watch_hub=watch_hub,
        storage_watch=StorageWatch(store, storage_answers),
        delivery=delivery,
        sweep=Sweep(store, ledger),
        pruning=RequestIdPruning(store, settings.request_id_retention_days),
        retention=Retention(store, settings.record_retention_seconds),
        grpc_server=grpc_server,
        rest_app=create_app(
            rest_call(dispatcher),
            rest_stream(dispatcher),
            ready=is_ready,
            version=VERSION,
            documents={"/schema/caps.json": schema_bytes()},
        ),
        metrics_app=create_metrics_app(metrics, count_open_reservations=count_open_reservations, ready=is_ready),
    )


def _open_reservations(connection: Connection) -> int:
    table = tables.reservations
    query = select(func.count()).select_from(table).where(table.c.state == ReservationState.OPEN.value)
    return int(connection.execute(query).scalar_one())
