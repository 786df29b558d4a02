"""What the tests of leases against a real server share."""

import pytest

from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import Caller

LEASE_SCOPES = ("spend:check", "spend:record")


@pytest.fixture
def tenant(shared_server: ServerProcess) -> Tenant:
    """An organization on the server of the run, on each store in turn."""
    return new_tenant(Caller(shared_server.grpc_address, shared_server.admin_key), "lease")


@pytest.fixture
def key(tenant: Tenant) -> str:
    """All that a lease needs."""
    return tenant.key(LEASE_SCOPES).secret
