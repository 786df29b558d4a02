"""The same scenarios on every face: the rules alone, a ledger on each store, gRPC and REST on each store."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from ledger.stores import NOON, migrate_blocking, shadow_clock
from properties.drivers import DomainDriver, postgres_driver, sqlite_driver
from scenarios.face import Face
from scenarios.ledger_face import LedgerFace
from scenarios.player import play
from scenarios.rows import Section, read_sections
from scenarios.wire_face import GrpcTransport, RestTransport, WireFace
from support.postgres import PostgresServer
from support.server import ServerProcess
from support.tenants import new_tenant
from support.wire import Caller

SECTIONS = read_sections(Path(__file__).parent)

each_section = pytest.mark.parametrize(
    "section", SECTIONS, ids=[f"{section.file}-{section.name}".replace(" ", "_") for section in SECTIONS]
)


def test_there_are_enough_of_them() -> None:
    """No two of one name in a file, and as many as the guarantees say."""
    assert len({(section.file, section.name) for section in SECTIONS}) == len(SECTIONS) >= 40
    assert sum(len(section.rows) for section in SECTIONS) >= 300


@each_section
def test_on_the_rules_alone(section: Section) -> None:
    """No I/O at all."""
    _play(section, LedgerFace(DomainDriver(), NOON))


@pytest.fixture(scope="module")
def timed_url(postgres_server: PostgresServer) -> str:
    url = postgres_server.url(
        postgres_server.create_database(template=postgres_server.template("schema", migrate_blocking))
    )
    asyncio.run(shadow_clock(url))
    return url


@pytest.fixture
def ledger_face(backend: str, request: pytest.FixtureRequest) -> Iterator[Face]:
    with asyncio.Runner() as runner:
        if backend == "sqlite":
            yield LedgerFace(sqlite_driver(request.getfixturevalue("schema_file"), runner), NOON)
        else:
            yield LedgerFace(postgres_driver(request.getfixturevalue("timed_url"), runner), NOON)


@each_section
def test_on_a_ledger(section: Section, ledger_face: Face) -> None:
    """With the test's clock; the books are verified at the end."""
    _play(section, ledger_face)


@pytest.fixture(scope="session")
def admin(shared_server: ServerProcess) -> Iterator[Caller]:
    with Caller(shared_server.grpc_address, shared_server.admin_key) as caller:
        yield caller


@pytest.fixture(scope="session")
def http(shared_server: ServerProcess) -> Iterator[httpx2.Client]:
    headers = {"authorization": f"Bearer {shared_server.admin_key}"}
    with httpx2.Client(base_url=shared_server.http_url, headers=headers, timeout=20) as client:
        yield client


OVER_THE_WIRE = [section for section in SECTIONS if not section.travels]
"""Nobody can have time pass on a server."""

each_over_the_wire = pytest.mark.parametrize(
    "section", OVER_THE_WIRE, ids=[f"{section.file}-{section.name}".replace(" ", "_") for section in OVER_THE_WIRE]
)


@each_over_the_wire
def test_over_grpc(section: Section, admin: Caller) -> None:
    """A real server, a real channel."""
    tenant = new_tenant(admin)
    _play(section, WireFace(tenant, GrpcTransport(tenant)))


@each_over_the_wire
def test_over_rest(section: Section, admin: Caller, http: httpx2.Client) -> None:
    """The same server by HTTP and JSON."""
    _play(section, WireFace(new_tenant(admin), RestTransport(http)))


def _play(section: Section, face: Face) -> None:
    try:
        play(section, face)
    finally:
        face.close()
