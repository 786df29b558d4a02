"""What the tests over the wire share: replicas on each store, and organizations on the server of the run."""

from collections.abc import Callable, Iterator

import pytest

from support.replicas import Replicas, StartServer, start_replicas
from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import Caller


@pytest.fixture
def replicas(backend: str, request: pytest.FixtureRequest, start_server: StartServer) -> Replicas:
    """Every server that one set of books can have, up to two: one on the embedded store, two on PostgreSQL."""
    if backend == "sqlite":
        return start_replicas(start_server, None, 1)
    return start_replicas(start_server, request.getfixturevalue("migrated_database_url"), 2)


@pytest.fixture(scope="session")
def admin(shared_server: ServerProcess) -> Iterator[Caller]:
    """The platform key at the shared server."""
    with Caller(shared_server.grpc_address, shared_server.admin_key) as caller:
        yield caller


@pytest.fixture
def tenant(admin: Caller) -> Tenant:
    """An organization of the test's own at the shared server."""
    return new_tenant(admin)


@pytest.fixture
def callers() -> Iterator[Callable[[Caller], Caller]]:
    """Closes the callers that a test hands to it."""
    opened: list[Caller] = []

    def keep(caller: Caller) -> Caller:
        opened.append(caller)
        return caller

    yield keep
    for caller in opened:
        caller.close()
