"""What every start has in common, of one process or of a parent of several: its key, and the lines that say where."""

from collections.abc import Callable

from outlay_server.server.address import Address
from outlay_server.server.admin_key import FILE_NAME, AdminKey, resolve_admin_key
from outlay_server.server.settings import Settings

Say = Callable[[str], None]


def introduce_admin_key(settings: Settings, say: Say) -> AdminKey:
    """Return the platform key, and say it where this start made it. Raises `AdminKeyUnusable`."""
    configured = settings.admin_key.get_secret_value() if settings.admin_key is not None else None
    admin_key = resolve_admin_key(configured, settings.data_dir)
    if admin_key.made is not None:
        say(f"admin key {admin_key.made} (shown this once; kept in {settings.data_dir / FILE_NAME})")
    return admin_key


def listening_lines(settings: Settings, grpc: Address, http: Address, metrics: Address) -> list[str]:
    """The lines that say where a server listens, without the `ready` that follows them."""
    scheme = "https" if settings.tls else "http"
    return [f"gRPC {grpc}", f"HTTP {scheme}://{http}", f"metrics http://{metrics}"]
