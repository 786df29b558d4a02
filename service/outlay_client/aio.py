"""The client for asyncio."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from outlay.v1 import budget_service_pb2 as pb
from outlay_client import requests, rpcs
from outlay_client.coalescing import Coalescer
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
from outlay_client.errors import Denied, OutlayError, Unavailable, from_grpc, from_status
from outlay_client.journal import Entry, Journal, log
from outlay_client.outages import AllowUpTo, LeaseOnly
from outlay_client.results import CheckResult, ExpiryAction, Mode, RecordResult, check_result
from outlay_client.rpcs import Rpc
from outlay_client.spending import AMBIGUOUS, Ending, Spend, entered

ResultT = TypeVar("ResultT")


class AsyncClient:
    """Calls the service from one event loop; what `Client` says of arguments and settlements holds here too.

    Checks and records that are asked at the same time travel as one batch, unless `coalesce` is False: the answers are
    the same, and many cost little more than one.
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
        coalesce: bool = True,
    ) -> None:
        """Raises `SettingsError`, and `JournalError` where the journal cannot be opened.

        The connection is made, and the journal's replay begins, with the first call or `async with`.
        """
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
        self._metadata = rpcs.metadata_of(self._core.options.connection)
        self._channel: grpc.aio.Channel | None = None
        self._callables: dict[str, Any] = {}
        self._coalesce = coalesce
        self._checks = Coalescer[pb.CheckSpendRequest, pb.CheckSpendResponse](self._send_checks)
        self._records = Coalescer[pb.RecordSpendRequest, pb.RecordSpendResponse](self._send_records)
        self._wake = asyncio.Event()
        self._closed = False
        self._replay_task: asyncio.Task[None] | None = None

    # --- questions ----------------------------------------------------------------------------------------------------

    async def check(
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
        """As `Client.check`."""
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
            if self._coalesce:
                answer = await self._checks.ask(request, self._core.options.timeout_seconds)
            else:
                answer = await self._call(rpcs.CHECK, request)
        except Unavailable as error:
            return self._core.without_answer(request, error)
        return check_result(request, answer)

    async def extend(
        self,
        reservation: str,
        *,
        ttl_seconds: float | None = None,
        additional_micros: int = 0,
        min_additional_micros: int | None = None,
        request_id: str | None = None,
    ) -> CheckResult:
        """As `Client.extend`."""
        request = requests.extend_request(
            reservation,
            ttl_seconds=ttl_seconds,
            additional_micros=additional_micros,
            min_additional_micros=min_additional_micros,
            request_id=request_id,
        )
        return check_result(request, await self._call(rpcs.EXTEND, request))

    # --- settlements --------------------------------------------------------------------------------------------------

    async def record(
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
        """As `Client.record`. A caller that is cancelled waits until it is settled one way or the other."""
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
        return await shielded(self._settle(rpcs.RECORD, request if request_id else self._core.stamped(request)))

    async def refund(self, spend_record: str, amount_micros: int, *, request_id: str | None = None) -> RecordResult:
        """As `Client.refund`."""
        request = requests.refund_request(self._core.organization, spend_record, amount_micros, request_id)
        return await shielded(self._settle(rpcs.REFUND, request))

    async def release(self, reservation: str, *, request_id: str | None = None) -> None:
        """As `Client.release`."""
        await self._call(rpcs.RELEASE, requests.release_request(reservation, request_id))

    # --- work ---------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def spend(
        self,
        amount_micros: int,
        *,
        unit: str = "USD",
        labels: Mapping[str, str] | None = None,
        min_amount_micros: int | None = None,
        ttl_seconds: float | None = None,
        expiry_action: ExpiryAction = ExpiryAction.RELEASE,
        ambiguous: tuple[type[BaseException], ...] = AMBIGUOUS,
    ) -> AsyncIterator[Spend]:
        """As `Client.spend`. A body that is cancelled is still settled before the cancellation goes on."""
        try:
            check = await self.check(
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
                await shielded(self._end(spend, error, ambiguous, expiry_action))
            except OutlayError as unsettled:
                log.error("the work failed, and so did its settlement: %s", unsettled)
                error.add_note(f"its settlement failed too: {unsettled}")
            raise
        else:
            await shielded(self._end(spend, None, ambiguous, expiry_action))
        finally:
            leave()

    async def _end(
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
            await self._settle(rpcs.RECORD, request, offline_micros=amount_micros if check.offline else 0)
        elif ending is Ending.RELEASE and check.offline:
            self._core.allowance.change(-check.granted_micros)
        elif ending is Ending.RELEASE and check.reservation:
            # What expires as spent must be released for certain; anything else comes back by itself.
            release = requests.release_request(check.reservation)
            entry: Entry | None = None
            if expiry_action is ExpiryAction.RECORD:
                entry = await asyncio.to_thread(self._core.write_ahead, rpcs.RELEASE, release)
            try:
                await self._call(rpcs.RELEASE, release)
            except OutlayError as unreleased:
                self._core.unreleased(entry, unreleased)
            else:
                self._core.delivered(entry)

    # --- life ---------------------------------------------------------------------------------------------------------

    @property
    def undelivered(self) -> int:
        """How many settlements the journal still has to deliver."""
        return self._core.journal.pending if self._core.journal is not None else 0

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until the journal is delivered. False: something is left after that time."""
        self._open()
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self.undelivered:  # noqa: ASYNC110  # the journal knows no event loop
                    await asyncio.sleep(0.02)
        return not self.undelivered

    async def close(self) -> None:
        """End the connection. What the journal has waits there for the next client that opens it."""
        self._closed = True
        if self._replay_task is not None:
            self._replay_task.cancel()
            await asyncio.wait([self._replay_task])
        if self._channel is not None:
            await self._channel.close()
        self._core.close()

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- calls --------------------------------------------------------------------------------------------------------

    def _open(self) -> grpc.aio.Channel:
        if self._closed:
            raise Unavailable("the client is closed", effect_unknown=False)
        if self._channel is None:
            self._channel = rpcs.async_channel(self._core.options.connection)
            self._core.on_due = self._wake.set
            if self._core.journal is not None:
                self._replay_task = asyncio.create_task(self._replay(self._core.journal))
        return self._channel

    async def _call(self, rpc: Rpc[Any, Any], request: Any, timeout_seconds: float | None = None) -> Any:
        call = self._callables.get(rpc.name)
        if call is None or self._closed:
            call = self._callables[rpc.name] = rpc.on(self._open())
        try:
            return await call(
                request, timeout=timeout_seconds or self._core.options.timeout_seconds, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            raise from_grpc(error, getattr(request, "request_id", "")) from None
        except grpc.aio.UsageError as error:
            # What grpc raises on a channel that is closed meanwhile.
            raise Unavailable(str(error), effect_unknown=False) from None

    async def _send_checks(
        self, items: Sequence[pb.CheckSpendRequest], timeout_seconds: float
    ) -> Sequence[pb.CheckSpendResponse | OutlayError]:
        if len(items) == 1:
            return [await self._call(rpcs.CHECK, items[0], timeout_seconds)]
        batch = pb.BatchCheckSpendRequest(organization=self._core.organization, requests=items)
        answer: pb.BatchCheckSpendResponse = await self._call(rpcs.BATCH_CHECK, batch, timeout_seconds)
        return [
            from_status(response.error, item.request_id) if response.HasField("error") else response
            for item, response in zip(items, answer.responses, strict=True)
        ]

    async def _send_records(
        self, items: Sequence[pb.RecordSpendRequest], timeout_seconds: float
    ) -> Sequence[pb.RecordSpendResponse | OutlayError]:
        if len(items) == 1:
            return [await self._call(rpcs.RECORD, items[0], timeout_seconds)]
        batch = pb.BatchRecordSpendRequest(organization=self._core.organization, requests=items)
        answer: pb.BatchRecordSpendResponse = await self._call(rpcs.BATCH_RECORD, batch, timeout_seconds)
        return [
            from_status(result.status, item.request_id)
            if result.HasField("status")
            else pb.RecordSpendResponse(spend_record=result.record, overrun_micros=result.record.overrun_micros)
            for item, result in zip(items, answer.results, strict=True)
        ]

    async def _settle(self, rpc: Rpc[Any, Any], request: Settlement, *, offline_micros: int = 0) -> RecordResult:
        entry: Entry | None = None
        if self._core.journal is not None:
            entry = await asyncio.to_thread(self._core.write_ahead, rpc, request, offline_micros=offline_micros)
        patience_seconds = 0.0 if entry is not None else self._core.options.settle_timeout_seconds
        try:
            answer = await self._call_patiently(rpc, request, patience_seconds)
        except OutlayError as error:
            return self._core.undelivered(entry, request, error)
        except BaseException:
            self._core.left_for_replay(entry)
            raise
        self._core.settled(entry, offline_micros)
        return recorded(request, answer)

    async def _call_patiently(self, rpc: Rpc[Any, Any], request: Settlement, patience_seconds: float) -> Any:
        loop = asyncio.get_running_loop()
        deadline, failures = loop.time() + patience_seconds, 0
        while True:
            try:
                if self._coalesce and isinstance(request, pb.RecordSpendRequest):
                    return await self._records.ask(request, self._core.options.timeout_seconds)
                return await self._call(rpc, request)
            except Unavailable:
                failures += 1
                pause = pause_seconds(failures)
                if self._closed or loop.time() + pause > deadline:
                    raise
                await asyncio.sleep(pause)

    async def _replay(self, journal: Journal) -> None:
        failures = 0
        while True:
            self._wake.clear()
            for entry in journal.due():
                failed = await self._replay_one(entry)
                failures = failures + 1 if failed else 0
                if failed:
                    break
            if failures:
                await asyncio.sleep(pause_seconds(failures))
            elif not journal.due():
                await self._wake.wait()

    async def _replay_one(self, entry: Entry) -> bool:
        """Send one entry again; whether that failed."""
        rpc, request = self._core.replayed(entry)
        try:
            await self._call(rpc, request)
        except OutlayError as error:
            return not self._core.after_replay(entry, error)
        return not self._core.after_replay(entry, None)


async def shielded(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run `work` to its end, whoever is cancelled meanwhile; the cancellation goes on after that."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled() and (failed := task.exception()) is not None:
        log.error("a settlement failed while its caller was cancelled: %s", failed)
    raise cancelled
