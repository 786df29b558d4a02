"""What the tests of the SDK share: an organization of the test's own, and clients with a key of it."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from outlay_client import AsyncClient, Client
from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import Caller

CLIENT_SCOPES = ("spend:check", "spend:record")


@pytest.fixture
def admin(shared_server: ServerProcess) -> Iterator[Caller]:
    with Caller(shared_server.grpc_address, shared_server.admin_key) as caller:
        yield caller


@pytest.fixture
def tenant(admin: Caller) -> Tenant:
    """An organization on the server of the run, on each store in turn."""
    return new_tenant(admin)


@pytest.fixture
def key(tenant: Tenant) -> str:
    return tenant.key(CLIENT_SCOPES).secret


MakeClient = Callable[..., Client]


@pytest.fixture
def make_client(shared_server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Make clients of the test's organization, or of `endpoint` and `api_key`; all are closed with the test."""
    made: list[Client] = []

    def make(endpoint: str = shared_server.grpc_address, api_key: str | None = None, **settings: Any) -> Client:
        made.append(Client(endpoint, api_key or request.getfixturevalue("key"), **settings))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client()


@pytest.fixture
async def async_client(shared_server: ServerProcess, key: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(shared_server.grpc_address, key) as made:
        yield made
