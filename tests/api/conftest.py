"""The edge over a real socket and a real ledger, in this process; its time stands still unless a test moves it."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio

from api.edge import Calls, Client, Edge, SettableClock
from outlay_server.api.authentication import Authenticator, StoreKeys
from outlay_server.api.dispatcher import Dispatcher
from outlay_server.api.grpc_edge import add_services
from outlay_server.domain.api_key import assemble, hash_key
from outlay_server.domain.limits import BATCH_RECEIVE_MAX_BYTES
from outlay_server.ledger import Ledger
from outlay_server.store.sqlite import SqliteStore


@pytest.fixture(scope="session")
def schema_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with the newest schema and no rows."""
    path = tmp_path_factory.mktemp("schema") / "outlay.db"

    async def make() -> None:
        store = SqliteStore(path)
        await store.open()
        await store.migrate()
        await store.close()

    asyncio.run(make())
    return path


@pytest_asyncio.fixture
async def edge(schema_file: Path, tmp_path: Path) -> AsyncIterator[Edge]:
    """A server with the organization `acme`."""
    path = tmp_path / "outlay.db"
    shutil.copyfile(schema_file, path)
    clock, calls = SettableClock(), Calls()
    store = SqliteStore(path, clock=clock)
    await store.open()
    ledger = Ledger(store)
    await ledger.start()
    admin_key = assemble(os.urandom(20))
    authenticator = Authenticator(StoreKeys(store), hash_key(admin_key), clock)
    dispatcher = Dispatcher(store=store, ledger=ledger, authenticator=authenticator, observer=calls)
    server = grpc.aio.server(
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 2 * BATCH_RECEIVE_MAX_BYTES)]
    )
    add_services(server, dispatcher)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    running = Edge(store, ledger, authenticator, dispatcher, channel, clock, calls, Client(channel, admin_key))
    await running.organization("acme")
    yield running
    await channel.close()
    await server.stop(0)
    await ledger.stop()
    await store.close()
