"""What the tests over the wire share: replicas on each store, and organizations on the servers of the run."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.database_commands import migrate
from support.postgres import PostgresServer
from support.replicas import Replicas, start_replicas
from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import Caller


@pytest.fixture(scope="session")
def replicas(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    """Every server that one set of books can have, up to two: one on the embedded store, two on PostgreSQL.

    For all tests that keep to an organization of their own and leave the servers alive.
    """
    folder = tmp_path_factory.mktemp(f"replicas-{backend}")
    with ExitStack() as stack:

        def start(**options: Any) -> ServerProcess:
            return stack.enter_context(ServerProcess(folder / f"server-{next(numbers)}", **options))

        numbers = iter(range(2))
        if backend == "sqlite":
            yield start_replicas(start, None, 1)
            return
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        url = postgres.url(postgres.create_database())
        migrate(url)
        yield start_replicas(start, url, 2)


@pytest.fixture(scope="session")
def admin(replicas: Replicas) -> Iterator[Caller]:
    """The platform key at the first of them."""
    with replicas.admin() as caller:
        yield caller


@pytest.fixture
def tenant(admin: Caller) -> Tenant:
    """An organization of the test's own."""
    return new_tenant(admin)
