"""Several servers on one set of books: one on the embedded store, two on PostgreSQL, all with the same platform key."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from support.server import ServerProcess
from support.tenants import new_key
from support.wire import Caller

StartServer = Callable[..., ServerProcess]


@dataclass(frozen=True)
class Replicas:
    """Servers that must behave as one."""

    servers: tuple[ServerProcess, ...]
    admin_key: str

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(server.grpc_address for server in self.servers)

    def __iter__(self) -> Iterator[ServerProcess]:
        return iter(self.servers)

    def __len__(self) -> int:
        return len(self.servers)

    def admin(self, index: int = 0) -> Caller:
        """The platform key at one of them."""
        return Caller(self.addresses[index % len(self.servers)], self.admin_key)


def start_replicas(start_server: StartServer, database_url: str | None, count: int) -> Replicas:
    """Start them. Without a URL there can be only one: the embedded store is one process's."""
    assert count == 1 or database_url is not None
    admin_key = new_key()
    servers = tuple(start_server(database_url=database_url, admin_key=admin_key) for _ in range(count))
    return Replicas(servers, admin_key)
