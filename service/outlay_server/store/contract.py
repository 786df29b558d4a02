"""What a store is: the seam between the ledger and SQL.

A store keeps three promises. What `post` and `change` return has been committed and synced before they return. Two of
them that touch one organization see each other's effects whole or not at all, in one order, on every replica. And what
could not be written has not happened: `StorageUnavailable` is raised, and nothing that was in memory is decided from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from outlay_server.domain.books import Books
from outlay_server.domain.commands import Command
from outlay_server.domain.instant import Instant

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What callers may rely on beyond the three promises; tests ask for these, never for a product's name."""

    replicas: bool
    """Several processes may serve one database."""
    survives_server_crash_apart: bool
    """The database is a process of its own, which can die and return while the service stays."""


@dataclass(slots=True)
class ControlTransaction:
    """One control-plane change under way: an open transaction that commits when the work returns."""

    connection: Connection
    clock: Callable[[], Instant]
    """Decision time, which never goes back."""
    new_id: Callable[[], str]
    """Makes ids that sort by time (UUIDv7)."""
    changed_organizations: set[str] = field(default_factory=set)
    """Ids of those whose settings this change writes, so that nothing is decided by the old ones."""
    now: Instant = field(init=False)
    """When this change is decided."""

    def __post_init__(self) -> None:
        self.now = self.clock()

    def has_waited(self) -> None:
        """Tell the time anew: a lock was waited for, and what its holder did happened before this change."""
        self.now = self.clock()


@dataclass(frozen=True, slots=True)
class Posted:
    """A batch that is on disk."""

    books: Books
    expiries: Mapping[tuple[int, str], Instant]
    """For `Books.expiries_wanted`: the earliest expiry among what is held against that budget."""


class Store(Protocol):
    """A place where the ledger is kept."""

    capabilities: Capabilities

    async def open(self) -> None:
        """Connect, check that commits are durable, take what must be exclusive; `StoreUnusable` says what to do."""

    async def close(self) -> None:
        """Let go of everything. Safe to call twice."""

    async def migrate(self) -> None:
        """Bring the schema to the version this code knows."""

    async def post(self, commands: Sequence[Command], apply: Callable[[Books], None]) -> Posted:
        """Load what the commands name, let `apply` work on it, write what it changed, commit.

        `apply` is pure apart from the books and may be called again on books loaded anew, when the database asks for
        the transaction to be repeated.
        """

    async def change(self, work: Callable[[ControlTransaction], R]) -> R:
        """Run a control-plane change in one transaction; whatever `work` raises undoes it. `work` may be repeated."""

    async def read(self, work: Callable[[Connection], R]) -> R:
        """Run queries on a read-only connection, which never waits for a write."""

    async def now(self) -> Instant:
        """Decision time as of now."""

    async def ping(self) -> None:
        """Raise `StorageUnavailable` unless the store answers."""


ORGANIZATIONS_REMEMBERED_MAX = 10_000
"""Organizations whose settings a store keeps in memory; above that it forgets all of them and reads them again."""


class StoreUnusable(Exception):
    """The store cannot be served from, and why, in words for whoever starts the service."""
