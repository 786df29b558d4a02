"""Leases: a slice of a budget, from which spend is admitted in the caller's own process, in microseconds.

The slice is a reservation: the server has already subtracted it from every cap. See `docs/leases.md`.
"""

from outlay_client.leases.book import Admission
from outlay_client.leases.errors import CallFailed, LeaseClosed, SpendUndelivered
from outlay_client.leases.grpc_transport import CHANNEL_OPTIONS, AsyncGrpcLeaseTransport, GrpcLeaseTransport
from outlay_client.leases.lease import AsyncLease, LeaseState, ThreadLease
from outlay_client.leases.operations import AsyncLeaseTransport, Draw, Extend, Grant, LeaseTransport, Release, Reserve
from outlay_client.leases.options import LeaseOptions

__all__ = [
    "CHANNEL_OPTIONS",
    "Admission",
    "AsyncGrpcLeaseTransport",
    "AsyncLease",
    "AsyncLeaseTransport",
    "CallFailed",
    "Draw",
    "Extend",
    "Grant",
    "GrpcLeaseTransport",
    "LeaseClosed",
    "LeaseOptions",
    "LeaseState",
    "LeaseTransport",
    "Release",
    "Reserve",
    "SpendUndelivered",
    "ThreadLease",
]
