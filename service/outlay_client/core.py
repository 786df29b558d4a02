"""What the clients of threads and of asyncio have in common: everything but the calls."""

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message

from outlay.v1 import budget_service_pb2 as pb
from outlay_client import requests, rpcs
from outlay_client.connection import Connection, connection
from outlay_client.errors import OutlayError, OutlayRpcError, Unavailable
from outlay_client.journal import Entry, Journal, JournalError, log
from outlay_client.leases import Admission, LeaseClosed
from outlay_client.outages import Allowance, AllowUpTo, LeaseOnly
from outlay_client.results import CheckResult, ExpiryAction, RecordResult, record_result
from outlay_client.rpcs import Rpc
from outlay_client.spending import Ending, Spend

DEFAULT_TIMEOUT_SECONDS: Final = 2.0
DEFAULT_SETTLE_TIMEOUT_SECONDS: Final = 10.0

_REPLAYED: Final[dict[str, Rpc[Any, Any]]] = {rpc.name: rpc for rpc in (rpcs.RECORD, rpcs.REFUND, rpcs.RELEASE)}

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0

Settlement: TypeAlias = pb.RecordSpendRequest | pb.RefundSpendRequest


@dataclass(frozen=True, slots=True)
class Options:
    """What a client is made with; see `Client`."""

    connection: Connection
    timeout_seconds: float
    settle_timeout_seconds: float
    on_unavailable: AllowUpTo | LeaseOnly | None
    journal: Journal | None
    owns_journal: bool


def options(
    endpoint: str | Sequence[str] | None,
    api_key: str | None,
    organization: str | None,
    ca_file: str | os.PathLike[str] | None,
    client_cert_file: str | os.PathLike[str] | None,
    client_key_file: str | os.PathLike[str] | None,
    allow_plaintext: bool | None,
    timeout_seconds: float,
    settle_timeout_seconds: float,
    on_unavailable: AllowUpTo | LeaseOnly | None,
    journal: Journal | str | os.PathLike[str] | None,
) -> Options:
    where = connection(
        endpoint,
        api_key,
        organization=organization,
        ca_file=ca_file,
        client_cert_file=client_cert_file,
        client_key_file=client_key_file,
        allow_plaintext=allow_plaintext,
    )
    if isinstance(on_unavailable, AllowUpTo) and journal is None:
        raise ValueError("on_unavailable=AllowUpTo(…) needs a journal: what is spent that way is recorded from it")
    opened = Journal(journal) if isinstance(journal, str | os.PathLike) else journal
    return Options(where, timeout_seconds, settle_timeout_seconds, on_unavailable, opened, opened is not journal)


class Core:
    """The journal and the allowance for outages of one client, and what their rules make of each outcome."""

    def __init__(self, made_with: Options) -> None:
        self.options = made_with
        self.organization = made_with.connection.organization
        self.journal = made_with.journal
        on_unavailable = made_with.on_unavailable
        self.allowance = Allowance(on_unavailable if isinstance(on_unavailable, AllowUpTo) else None)
        self._lease_only = on_unavailable if isinstance(on_unavailable, LeaseOnly) else None
        self.on_due: Callable[[], None] = lambda: None
        """Called when the replay has something to do."""
        if self.journal is not None:
            self.allowance.change(sum(entry.offline_micros for entry in self.journal.due()))

    # --- checks -------------------------------------------------------------------------------------------------------

    def without_answer(self, request: pb.CheckSpendRequest, error: Unavailable) -> CheckResult:
        """What to answer a check that got none. Raises `error` where that is a denial."""
        granted = self.allowance.grant(request)
        if granted is None:
            raise error
        return granted

    def spend_from_lease(
        self,
        amount_micros: int,
        unit: str,
        labels: Mapping[str, str] | None,
        min_amount_micros: int | None,
        expiry_action: ExpiryAction,
    ) -> Spend | None:
        """Work that a lease admits after a check that got no answer; None where it may not or cannot.

        Only where what the check may have held comes back at its expiry: else its amount would count twice.
        """
        if self._lease_only is None or expiry_action is ExpiryAction.RECORD:
            return None
        admission = self._lease_only.admission(amount_micros, unit, labels or {}, min_amount_micros)
        if admission is None:
            return None
        granted = CheckResult(
            allowed=True,
            unit=unit,
            granted_micros=admission.amount_micros,
            request_id="",
            labels=dict(labels or {}),
            offline=True,
        )
        return Spend(granted, admission)

    # --- settlements --------------------------------------------------------------------------------------------------

    def stamped(self, request: pb.RecordSpendRequest) -> pb.RecordSpendRequest:
        """Give spend that no reservation dates the time of now, so that a late delivery counts in the right cycle."""
        if self.journal is not None and not request.reservation and not request.HasField("usage_time"):
            request.usage_time.FromDatetime(datetime.now(UTC))
        return request

    def write_ahead(self, rpc: Rpc[Any, Any], request: Message, *, offline_micros: int = 0) -> Entry | None:
        """Write a settlement down before it is sent. Blocks for a sync of the disk.

        None where there is no journal, or none that takes it: sending it is then the best that can be done.
        """
        if self.journal is None:
            return None
        try:
            return self.journal.append(rpc.name, request, offline_micros=offline_micros)
        except JournalError as error:
            log.error("a settlement is sent without being written down before: %s", error)
            return None

    def delivered(self, entry: Entry | None) -> None:
        """Note that an entry needs to be sent no more."""
        if entry is not None and self.journal is not None:
            self.journal.done(entry)
            self.allowance.change(-entry.offline_micros)

    def settled(self, entry: Entry | None, offline_micros: int) -> None:
        """Note that the service has a settlement, also one that no journal took."""
        if entry is not None:
            self.delivered(entry)
        else:
            self.allowance.change(-offline_micros)

    def ending_record(self, spend: Spend, amount_micros: int) -> pb.RecordSpendRequest:
        """The record that settles a piece of work."""
        check = spend.check
        request = requests.record_request(
            self.organization,
            amount_micros,
            reservation=check.reservation,
            unit=check.unit,
            labels=check.labels,
            usage_time=None,
            keep_open=False,
            request_id=spend.request_id,
        )
        if check.offline:
            self.allowance.change(amount_micros - check.granted_micros)
        return self.stamped(request)

    def unreleased(self, entry: Entry | None, error: OutlayError) -> None:
        """Note that a release failed. It is worth no error: the work is over, and the amount comes back at expiry."""
        if isinstance(error, Unavailable):
            self.left_for_replay(entry)
            log.warning("a reservation is not released and expires by itself: %s", error)
        else:
            self.delivered(entry)
            log.warning("a reservation cannot be released: %s", error)

    def left_for_replay(self, entry: Entry | None) -> None:
        if entry is not None and self.journal is not None:
            self.journal.later(entry)
            self.on_due()

    def undelivered(self, entry: Entry | None, request: Settlement, error: OutlayError) -> RecordResult:
        """What to answer a settlement that failed. Raises `error` where nothing will send it again."""
        if entry is None:
            raise error
        if isinstance(error, OutlayRpcError) and error.is_final:
            # The caller is told, and the request can never succeed.
            self.delivered(entry)
            raise error
        self.left_for_replay(entry)
        if isinstance(error, OutlayRpcError):
            log.error("%s is kept in the journal: %s", entry.method, error)
        return RecordResult(delivered=False, amount_micros=request.amount_micros, request_id=request.request_id)

    # --- replay -------------------------------------------------------------------------------------------------------

    def replayed(self, entry: Entry) -> tuple[Rpc[Any, Any], Message]:
        rpc = _REPLAYED[entry.method]
        return rpc, rpc.request_type.FromString(entry.request)

    def after_replay(self, entry: Entry, error: OutlayError | None) -> bool:
        """Whether the entry is dealt with; the replay pauses before it goes on where not."""
        assert self.journal is not None
        if error is None:
            self.delivered(entry)
            return True
        if isinstance(error, OutlayRpcError) and error.is_final:
            closed = entry.method == rpcs.RELEASE.name and error.reason in ("RESERVATION_CLOSED", "NOT_FOUND")
            if not closed:
                log.error("%s will never be taken, see %s: %s", entry.method, self.journal.refused_path, error)
                try:
                    self.journal.refuse(entry, str(error))
                except OSError as unwritten:
                    log.error("%s cannot be written, the entry stays: %s", self.journal.refused_path, unwritten)
                    return False
            self.delivered(entry)
            return True
        return False

    def close(self) -> None:
        if self.journal is not None and self.options.owns_journal:
            self.journal.close()


def settle_with_lease(admission: Admission, ending: Ending, amount_micros: int) -> None:
    """Tell a lease what became of work that it admitted. What is kept counts in full when the lease is closed."""
    try:
        if ending is Ending.RECORD:
            admission.settle(amount_micros)
        elif ending is Ending.RELEASE:
            admission.cancel()
    except LeaseClosed as closed:
        log.warning("what a lease had admitted was recorded in full, because it was closed before: %s", closed)


def recorded(request: Settlement, answer: pb.RecordSpendResponse | pb.RefundSpendResponse) -> RecordResult:
    result = record_result(request.request_id, answer.spend_record)
    if isinstance(answer, pb.RecordSpendResponse):
        return replace(result, overrun_micros=answer.overrun_micros)
    return result


def pause_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row, with jitter so that clients do not come back as one."""
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10))
    return random.uniform(0.5, 1.0) * longest  # noqa: S311  # nothing secret depends on it
