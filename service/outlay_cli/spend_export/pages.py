"""The pages of the ledger, one after another, over outages of the service: each is asked for until it came."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

import grpc
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.spend_record_pb2 import SpendRecord
from outlay_cli.errors import CommandFailed
from outlay_cli.remote import PAGE_SIZE_MAX, Remote

GIVEN_UP_AFTER_SECONDS: Final = 120.0
"""Without any page, for as long as a restart or a failover takes."""

FIRST_DELAY_SECONDS: Final = 0.5
DELAY_MAX_SECONDS: Final = 10.0


def pages(
    service: Remote, request: pb.ListSpendRecordsRequest, tell: Callable[[str], None]
) -> Iterator[Sequence[SpendRecord]]:
    """Every record that the request asks for. `tell` is told of each wait; raises `CommandFailed` at last.

    A page's token says where it begins by the record before it: what is asked again is the same, on any replica.
    """
    asked = pb.ListSpendRecordsRequest()
    asked.CopyFrom(request)
    asked.page_size = PAGE_SIZE_MAX
    while True:
        page = _page(service, asked, tell)
        yield page.spend_records
        if not page.next_page_token:
            return
        asked.page_token = page.next_page_token


def _page(
    service: Remote, request: pb.ListSpendRecordsRequest, tell: Callable[[str], None]
) -> pb.ListSpendRecordsResponse:
    deadline, delay = time.monotonic() + GIVEN_UP_AFTER_SECONDS, FIRST_DELAY_SECONDS
    while True:
        try:
            return service.call(service.budgets.ListSpendRecords, request)
        except CommandFailed as failure:
            # What a failed call raises is the call itself, though the types cannot say so.
            call = cast(grpc.Call, failure.__cause__)
            if call.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            # Spread, so that a hundred exports do not come back in one moment; never sooner than the service asked.
            wait = max(_asked_wait_seconds(call), delay * random.uniform(0.5, 1))  # noqa: S311
            if time.monotonic() + wait > deadline:
                raise
            tell(f"{failure.message} Trying again in {wait:.1f} s.")
            time.sleep(wait)
            delay = min(2 * delay, DELAY_MAX_SECONDS)


def _asked_wait_seconds(call: grpc.Call) -> float:
    """What RetryInfo says; 0 without one."""
    status = rpc_status.from_call(call)
    info = error_details_pb2.RetryInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    return 0.0
