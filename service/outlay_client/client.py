"""The client for threads."""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import grpc

from outlay_client import requests, rpcs
from outlay_client.core import (
    DEFAULT_SETTLE_TIMEOUT_SECONDS,
    DEFAULT_TIMEOUT_SECONDS,
    Core,
    Settlement,
    options,
    pause_seconds,
    recorded,
    settle_with_lease,
)
from outlay_client.errors import Denied, OutlayError, OutlayRpcError, Unavailable, from_grpc
from outlay_client.journal import Journal, log
from outlay_client.outages import AllowUpTo, LeaseOnly
from outlay_client.results import CheckResult, ExpiryAction, Mode, RecordResult, check_result
from outlay_client.rpcs import Rpc
from outlay_client.spending import AMBIGUOUS, Ending, Spend, entered


class Client:
    """Calls the service from threads. One client serves all threads of a process.

    What is None is read from the environment: OUTLAY_ENDPOINT, OUTLAY_API_KEY or OUTLAY_API_KEY_FILE, OUTLAY_CA_FILE,
    OUTLAY_CLIENT_CERT_FILE and OUTLAY_CLIENT_KEY_FILE (to show a server that asks for a certificate),
    OUTLAY_ORGANIZATION (for the platform key) and OUTLAY_ALLOW_PLAINTEXT. A settlement without a journal is tried for
    `settle_timeout_seconds`; with one it is written down first, tried once, and sent in the background until the
    service has it.
    """

    def __init__(
        self,
        endpoint: str | Sequence[str] | None = None,
        api_key: str | None = None,
        *,
        organization: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        client_cert_file: str | os.PathLike[str] | None = None,
        client_key_file: str | os.PathLike[str] | None = None,
        allow_plaintext: bool | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        settle_timeout_seconds: float = DEFAULT_SETTLE_TIMEOUT_SECONDS,
        on_unavailable: AllowUpTo | LeaseOnly | None = None,
        journal: Journal | str | os.PathLike[str] | None = None,
    ) -> None:
        """Raises `SettingsError`, and `JournalError` where the journal cannot be opened."""
        self._core = Core(
            options(
                endpoint,
                api_key,
                organization,
                ca_file,
                client_cert_file,
                client_key_file,
                allow_plaintext,
                timeout_seconds,
                settle_timeout_seconds,
                on_unavailable,
                journal,
            )
        )
        where = self._core.options.connection
        self._channel = rpcs.sync_channel(where)
        self._metadata = rpcs.metadata_of(where)
        self._callables: dict[str, Any] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._core.on_due = self._wake.set
        self._replay_thread: threading.Thread | None = None
        if self._core.journal is not None:
            self._replay_thread = threading.Thread(target=self._replay, name="outlay-replay", daemon=True)
            self._replay_thread.start()

    # --- questions ----------------------------------------------------------------------------------------------------

    def check(
        self,
        amount_micros: int,
        *,
        unit: str = "USD",
        labels: Mapping[str, str] | None = None,
        min_amount_micros: int | None = None,
        mode: Mode = Mode.RESERVE,
        ttl_seconds: float | None = None,
        expiry_action: ExpiryAction = ExpiryAction.RELEASE,
        request_id: str | None = None,
    ) -> CheckResult:
        """Ask whether an amount may be spent, and hold it. Go ahead only where the answer is `allowed`.

        Raises `Unavailable` where there is no answer and `on_unavailable` does not allow it either, and
        `OutlayRpcError`.
        """
        request = requests.check_request(
            self._core.organization,
            amount_micros,
            unit=unit,
            labels=labels,
            min_amount_micros=min_amount_micros,
            mode=mode,
            ttl_seconds=ttl_seconds,
            expiry_action=expiry_action,
            request_id=request_id,
        )
        try:
            return check_result(request, self._call(rpcs.CHECK, request))
        except Unavailable as error:
            return self._core.without_answer(request, error)

    def extend(
        self,
        reservation: str,
        *,
        ttl_seconds: float | None = None,
        additional_micros: int = 0,
        min_additional_micros: int | None = None,
        request_id: str | None = None,
    ) -> CheckResult:
        """Hold for longer, from now, and hold more, or as much of it as there is down to `min_additional_micros`.

        Denied, nothing changes. Raises as `check`.
        """
        request = requests.extend_request(
            reservation,
            ttl_seconds=ttl_seconds,
            additional_micros=additional_micros,
            min_additional_micros=min_additional_micros,
            request_id=request_id,
        )
        return check_result(request, self._call(rpcs.EXTEND, request))

    # --- settlements --------------------------------------------------------------------------------------------------

    def record(
        self,
        amount_micros: int,
        *,
        reservation: str = "",
        unit: str = "USD",
        labels: Mapping[str, str] | None = None,
        usage_time: datetime | None = None,
        keep_open: bool = False,
        request_id: str | None = None,
    ) -> RecordResult:
        """Record what was spent, from 1 micro on. With a reservation, `unit` is that of the reservation.

        With a journal it survives this process from here on, and the answer may be not `delivered` yet. Without one
        raises `Unavailable`, whose `request_id` makes it safe to record again. Raises `OutlayRpcError`.
        """
        request = requests.record_request(
            self._core.organization,
            amount_micros,
            reservation=reservation,
            unit=unit,
            labels=labels,
            usage_time=usage_time,
            keep_open=keep_open,
            request_id=request_id,
        )
        return self._settle(rpcs.RECORD, request if request_id else self._core.stamped(request))

    def refund(self, spend_record: str, amount_micros: int, *, request_id: str | None = None) -> RecordResult:
        """Credit back a part or all of a record. Raises as `record`."""
        request = requests.refund_request(self._core.organization, spend_record, amount_micros, request_id)
        return self._settle(rpcs.REFUND, request)

    def release(self, reservation: str, *, request_id: str | None = None) -> None:
        """Give back what a reservation holds, because the work was not done. Raises `Unavailable`, `OutlayRpcError`."""
        self._call(rpcs.RELEASE, requests.release_request(reservation, request_id))

    # --- work ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def spend(
        self,
        amount_micros: int,
        *,
        unit: str = "USD",
        labels: Mapping[str, str] | None = None,
        min_amount_micros: int | None = None,
        ttl_seconds: float | None = None,
        expiry_action: ExpiryAction = ExpiryAction.RELEASE,
        ambiguous: tuple[type[BaseException], ...] = AMBIGUOUS,
    ) -> Iterator[Spend]:
        """Hold an amount, run the body, and settle: see `Spend.ending` for what becomes of it.

        Raises `Denied` and `Unavailable` before the body. An error of the body is passed on, whatever becomes of the
        settlement.
        """
        try:
            check = self.check(
                amount_micros,
                unit=unit,
                labels=labels,
                min_amount_micros=min_amount_micros,
                ttl_seconds=ttl_seconds,
                expiry_action=expiry_action,
            )
        except Unavailable:
            leased = self._core.spend_from_lease(amount_micros, unit, labels, min_amount_micros, expiry_action)
            if leased is None:
                raise
            spend = leased
        else:
            if not check.allowed:
                raise Denied(check)
            spend = Spend(check)
        leave = entered(spend)
        try:
            yield spend
        except BaseException as error:
            try:
                self._end(spend, error, ambiguous, expiry_action)
            except OutlayError as unsettled:
                log.error("the work failed, and so did its settlement: %s", unsettled)
                error.add_note(f"its settlement failed too: {unsettled}")
            raise
        else:
            self._end(spend, None, ambiguous, expiry_action)
        finally:
            leave()

    def _end(
        self,
        spend: Spend,
        error: BaseException | None,
        ambiguous: tuple[type[BaseException], ...],
        expiry_action: ExpiryAction,
    ) -> None:
        ending, amount_micros = spend.ending(error, ambiguous)
        check = spend.check
        if spend.admission is not None:
            settle_with_lease(spend.admission, ending, amount_micros)
            return
        if ending is Ending.RECORD:
            request = self._core.ending_record(spend, amount_micros)
            self._settle(rpcs.RECORD, request, offline_micros=amount_micros if check.offline else 0)
        elif ending is Ending.RELEASE and check.offline:
            self._core.allowance.change(-check.granted_micros)
        elif ending is Ending.RELEASE and check.reservation:
            # What expires as spent must be released for certain; anything else comes back by itself.
            release = requests.release_request(check.reservation)
            entry = self._core.write_ahead(rpcs.RELEASE, release) if expiry_action is ExpiryAction.RECORD else None
            try:
                self._call(rpcs.RELEASE, release)
            except OutlayError as unreleased:
                self._core.unreleased(entry, unreleased)
            else:
                self._core.delivered(entry)

    # --- life ---------------------------------------------------------------------------------------------------------

    @property
    def undelivered(self) -> int:
        """How many settlements the journal still has to deliver."""
        return self._core.journal.pending if self._core.journal is not None else 0

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until the journal is delivered. False: something is left after that time."""
        deadline = time.monotonic() + timeout_seconds
        self._wake.set()
        while self.undelivered and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.undelivered

    def close(self) -> None:
        """End the connection. What the journal has waits there for the next client that opens it."""
        self._stopping = True
        self._wake.set()
        self._channel.close()
        if self._replay_thread is not None:
            self._replay_thread.join()
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- calls --------------------------------------------------------------------------------------------------------

    def _call(self, rpc: Rpc[Any, Any], request: Any, timeout_seconds: float | None = None) -> Any:
        call = self._callables.get(rpc.name)
        if call is None:
            call = self._callables[rpc.name] = rpc.on(self._channel)
        try:
            return call(request, timeout=timeout_seconds or self._core.options.timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_grpc(error, getattr(request, "request_id", "")) from None
        except ValueError as error:
            # What grpc raises on a channel that was closed.
            raise Unavailable(str(error), effect_unknown=False, request_id=request.request_id) from None

    def _settle(self, rpc: Rpc[Any, Any], request: Settlement, *, offline_micros: int = 0) -> RecordResult:
        entry = self._core.write_ahead(rpc, request, offline_micros=offline_micros)
        patience_seconds = 0.0 if entry is not None else self._core.options.settle_timeout_seconds
        try:
            answer = self._call_patiently(rpc, request, patience_seconds)
        except OutlayError as error:
            return self._core.undelivered(entry, request, error)
        except BaseException:
            self._core.left_for_replay(entry)
            raise
        self._core.settled(entry, offline_micros)
        return recorded(request, answer)

    def _call_patiently(self, rpc: Rpc[Any, Any], request: Any, patience_seconds: float) -> Any:
        deadline, failures = time.monotonic() + patience_seconds, 0
        while True:
            try:
                return self._call(rpc, request)
            except Unavailable:
                failures += 1
                pause = pause_seconds(failures)
                if self._stopping or time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)

    def _replay(self) -> None:
        journal, failures = self._core.journal, 0
        assert journal is not None
        while True:
            self._wake.clear()
            # In this order: a close that comes in between leaves one of the two for this thread to see.
            if self._stopping:
                return
            for entry in journal.due():
                failed = self._replay_one(entry)
                failures = failures + 1 if failed else 0
                if failed or self._stopping:
                    break
            if failures:
                self._pause(pause_seconds(failures))
            elif not journal.due():
                self._wake.wait()

    def _replay_one(self, entry: Any) -> bool:
        """Send one entry again; whether that failed."""
        rpc, request = self._core.replayed(entry)
        try:
            self._call(rpc, request)
        except (Unavailable, OutlayRpcError) as error:
            return not self._core.after_replay(entry, error)
        return not self._core.after_replay(entry, None)

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
