"""The Outlay SDK: ask before metered work, record what it cost, lose neither.

`Client` is for threads, `AsyncClient` for asyncio; both have `check`, `record`, `refund`, `release`, `extend` and
`spend`, the context manager that most callers want.
"""

from outlay_client.aio import AsyncClient
from outlay_client.client import Client
from outlay_client.connection import SettingsError
from outlay_client.errors import Denied, OutlayError, OutlayRpcError, Unavailable, Violation
from outlay_client.gates.asgi import SpendMiddleware
from outlay_client.gates.decorator import metered
from outlay_client.gates.faces import denial_body, unavailable_body
from outlay_client.gates.grpc_server import AsyncSpendInterceptor, SpendInterceptor
from outlay_client.gates.price import Price
from outlay_client.journal import Journal, JournalError, JournalFull
from outlay_client.leases import (
    AsyncGrpcLeaseTransport,
    AsyncLease,
    GrpcLeaseTransport,
    LeaseClosed,
    LeaseOptions,
    LeaseState,
    SpendUndelivered,
    ThreadLease,
)
from outlay_client.outages import AllowUpTo, LeaseOnly
from outlay_client.results import CheckResult, ExpiryAction, Mode, RecordResult
from outlay_client.spending import Spend, current_spend

__all__ = [
    "AllowUpTo",
    "AsyncClient",
    "AsyncGrpcLeaseTransport",
    "AsyncLease",
    "AsyncSpendInterceptor",
    "CheckResult",
    "Client",
    "Denied",
    "ExpiryAction",
    "GrpcLeaseTransport",
    "Journal",
    "JournalError",
    "JournalFull",
    "LeaseClosed",
    "LeaseOnly",
    "LeaseOptions",
    "LeaseState",
    "Mode",
    "OutlayError",
    "OutlayRpcError",
    "Price",
    "RecordResult",
    "SettingsError",
    "Spend",
    "SpendInterceptor",
    "SpendMiddleware",
    "SpendUndelivered",
    "ThreadLease",
    "Unavailable",
    "Violation",
    "current_spend",
    "denial_body",
    "metered",
    "unavailable_body",
]
