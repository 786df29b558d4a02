"""BudgetService: each method reads its request, asks once, and answers."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from google.protobuf.empty_pb2 import Empty

from outlay.v1 import budget_pb2, reservation_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay_server.api import from_wire, ledger_queries, page_tokens, to_wire
from outlay_server.api.caller import Call, Caller
from outlay_server.api.changes import change_once
from outlay_server.api.from_wire.budgets import BudgetCreation, BudgetDeletion, BudgetUpdate
from outlay_server.control import Origin, budgets
from outlay_server.domain.api_key import Scope
from outlay_server.domain.commands import (
    CheckOutcome,
    Command,
    ExtendOutcome,
    Outcome,
    RecordOutcome,
    ReservationOutcome,
)
from outlay_server.domain.errors import MissingScope, NotFound, OutlayError
from outlay_server.domain.names import OrganizationName
from outlay_server.domain.views import BudgetView
from outlay_server.ledger import Ledger
from outlay_server.store import forecasts, reads
from outlay_server.store.contract import ControlTransaction, Store
from outlay_server.watch import WatchHub

PULSE_SECONDS: Final = 0.5
"""So often a watcher's key is looked at while nothing happens: revoking it is promised to bind within a second."""


class BudgetServicer:
    """The methods, by their names in snake case; each takes the request and the call."""

    def __init__(self, store: Store, ledger: Ledger, watch_hub: WatchHub) -> None:
        self._watch_hub = watch_hub
        self._store = store
        self._ledger = ledger

    # Budgets

    async def get_budget(self, request: pb.GetBudgetRequest, call: Call) -> budget_pb2.Budget:
        name = from_wire.budgets.get(request, call.caller)
        now = await self._store.now()
        view = await self._store.read(lambda c: forecasts.budget_view(c, name.organization_id, name.resource_id, now))
        return to_wire.budgets.budget(view)

    async def list_budgets(self, request: pb.ListBudgetsRequest, call: Call) -> pb.ListBudgetsResponse:
        organization_id, page = from_wire.budgets.listing(request, call.caller)
        now = await self._store.now()
        views = await self._store.read(
            lambda c: reads.budget_views(c, organization_id, page.after_id, page.size + 1, now)
        )
        shown = views[: page.size]
        token = page_tokens.seal(request, (shown[-1].budget.budget_id,)) if len(views) > page.size else ""
        return pb.ListBudgetsResponse(budgets=map(to_wire.budgets.budget, shown), next_page_token=token)

    async def create_budget(self, request: pb.CreateBudgetRequest, call: Call) -> budget_pb2.Budget:
        asked = from_wire.budgets.create(request, call.caller)

        def work(transaction: ControlTransaction, origin: Origin) -> budget_pb2.Budget:
            return to_wire.budgets.budget(_created(transaction, origin, asked))

        return await change_once(self._store, call, asked.name.organization_id, request, budget_pb2.Budget, work)

    async def update_budget(self, request: pb.UpdateBudgetRequest, call: Call) -> budget_pb2.Budget:
        asked = from_wire.budgets.update(request, call.caller)

        def work(transaction: ControlTransaction, origin: Origin) -> budget_pb2.Budget:
            return to_wire.budgets.budget(_updated(transaction, origin, asked, call.caller))

        return await change_once(self._store, call, asked.name.organization_id, request, budget_pb2.Budget, work)

    async def delete_budget(self, request: pb.DeleteBudgetRequest, call: Call) -> Empty:
        asked = from_wire.budgets.delete(request, call.caller)

        def work(transaction: ControlTransaction, origin: Origin) -> Empty:
            _delete(transaction, origin, asked)
            return Empty()

        return await change_once(self._store, call, asked.name.organization_id, request, Empty, work)

    # Spend

    async def check_spend(self, request: pb.CheckSpendRequest, call: Call) -> pb.CheckSpendResponse:
        command = from_wire.spend.check(request, call.caller)
        outcome = await self._ledger.submit(command)
        assert isinstance(outcome, CheckOutcome)
        return to_wire.spend.check(outcome, command.organization_id)

    async def batch_check_spend(self, request: pb.BatchCheckSpendRequest, call: Call) -> pb.BatchCheckSpendResponse:
        organization_id, items = from_wire.spend.check_batch(request, call.caller)
        answers = await self._answers(organization_id, items)
        return to_wire.spend.check_batch(answers, organization_id)

    async def record_spend(self, request: pb.RecordSpendRequest, call: Call) -> pb.RecordSpendResponse:
        command = from_wire.spend.record(request, call.caller)
        outcome = await self._ledger.submit(command)
        assert isinstance(outcome, RecordOutcome)
        return to_wire.spend.recorded(outcome.record, command.organization_id)

    async def batch_record_spend(self, request: pb.BatchRecordSpendRequest, call: Call) -> pb.BatchRecordSpendResponse:
        organization_id, items = from_wire.spend.record_batch(request, call.caller)
        results = []
        for answer in await self._answers(organization_id, items):
            assert isinstance(answer, OutlayError | RecordOutcome)
            outcome = answer if isinstance(answer, OutlayError) else answer.record
            results.append(to_wire.spend.batch_result(outcome, organization_id))
        return pb.BatchRecordSpendResponse(results=results)

    async def refund_spend(self, request: pb.RefundSpendRequest, call: Call) -> pb.RefundSpendResponse:
        command = from_wire.spend.refund(request, call.caller)
        outcome = await self._ledger.submit(command)
        assert isinstance(outcome, RecordOutcome)
        return to_wire.spend.refunded(outcome.record, command.organization_id)

    # Reservations

    async def release_reservation(
        self, request: pb.ReleaseReservationRequest, call: Call
    ) -> reservation_pb2.Reservation:
        command = from_wire.spend.release(request, call.caller)
        outcome = await self._ledger.submit(command)
        assert isinstance(outcome, ReservationOutcome)
        return to_wire.spend.reservation(outcome.reservation, command.organization_id)

    async def extend_reservation(self, request: pb.ExtendReservationRequest, call: Call) -> pb.CheckSpendResponse:
        command = from_wire.spend.extend(request, call.caller)
        outcome = await self._ledger.submit(command)
        assert isinstance(outcome, ExtendOutcome)
        return to_wire.spend.extension(outcome, command.organization_id)

    async def get_reservation(self, request: pb.GetReservationRequest, call: Call) -> reservation_pb2.Reservation:
        name = from_wire.queries.reservation(request, call.caller)
        now = await self._store.now()
        held = await self._store.read(lambda c: reads.reservation(c, name.organization_id, name.resource_id, now))
        return to_wire.spend.reservation(held, name.organization_id)

    async def list_reservations(self, request: pb.ListReservationsRequest, call: Call) -> pb.ListReservationsResponse:
        asked = from_wire.queries.reservations(request, call.caller)
        page, now = asked.page, await self._store.now()
        rows = await self._store.read(
            lambda c: reads.reservations(
                c, asked.organization_id, page.after_id, page.size + 1, asked.state, asked.unit, now
            )
        )
        shown = rows[: page.size]
        token = page_tokens.seal(request, (shown[-1].reservation_id,)) if len(rows) > page.size else ""
        messages = [to_wire.spend.reservation(row, asked.organization_id) for row in shown]
        return pb.ListReservationsResponse(reservations=messages, next_page_token=token)

    # The ledger

    async def list_spend_records(self, request: pb.ListSpendRecordsRequest, call: Call) -> pb.ListSpendRecordsResponse:
        asked = from_wire.queries.records(request, call.caller)
        page = await self._store.read(lambda c: ledger_queries.spend_records(c, asked))
        token = "" if page.next is None else page_tokens.seal(request, page.next)
        messages = [to_wire.spend.record(row, asked.organization_id, refunded) for row, refunded in page.records]
        return pb.ListSpendRecordsResponse(spend_records=messages, next_page_token=token)

    async def query_spend(self, request: pb.QuerySpendRequest, call: Call) -> pb.QuerySpendResponse:
        asked = from_wire.queries.spend(request, call.caller)
        page = await self._store.read(lambda c: ledger_queries.spend_rows(c, asked))
        token = "" if page.next is None else page_tokens.seal(request, page.next)
        messages = [to_wire.spend.row(row, asked.group_by) for row in page.rows]
        return pb.QuerySpendResponse(rows=messages, next_page_token=token)

    async def watch_budgets(
        self, request: pb.WatchBudgetsRequest, call: Call
    ) -> AsyncGenerator[pb.WatchBudgetsResponse | None, None]:
        organization_id, after_sequence = from_wire.queries.watching(request, call.caller)
        async with aclosing(self._watch_hub.watch(organization_id, after_sequence, PULSE_SECONDS)) as changes:
            async for change in changes:
                yield None if change is None else to_wire.watching.answer(change)

    async def _answers(
        self, organization_id: str, items: Sequence[Command | OutlayError]
    ) -> list[Outcome | OutlayError]:
        """What each item of a batch came to, in order; those that could not be read keep their error."""
        answers = iter(await self._ledger.submit_all([item for item in items if not isinstance(item, OutlayError)]))
        merged = [item if isinstance(item, OutlayError) else next(answers) for item in items]
        for answer in merged:
            # There is no such organization: that is wrong with the batch and not with an item.
            if isinstance(answer, NotFound) and answer.resource == str(OrganizationName(organization_id)):
                raise answer
        return merged


def _created(transaction: ControlTransaction, origin: Origin, asked: BudgetCreation) -> BudgetView:
    name = asked.name
    return budgets.create(
        transaction,
        origin,
        name.organization_id,
        name.resource_id,
        asked.settings,
        validate_only=asked.validate_only,
    )


def _updated(transaction: ControlTransaction, origin: Origin, asked: BudgetUpdate, caller: Caller) -> BudgetView:
    """Update, or create where that is asked for and allowed: updating alone takes less than creating."""
    name = asked.name
    may_create = Scope.BUDGETS_WRITE in caller.scopes
    try:
        return budgets.update(
            transaction,
            origin,
            name.organization_id,
            name.resource_id,
            asked.settings,
            asked.paths,
            etag=asked.etag,
            allow_missing=asked.allow_missing and may_create,
            validate_only=asked.validate_only,
            gates=asked.gates,
            manager=asked.manager,
            override_manager=asked.override_manager,
        )
    except NotFound as error:
        if asked.allow_missing and not may_create and error.resource == str(name):
            raise MissingScope(Scope.BUDGETS_WRITE) from None
        raise


def _delete(transaction: ControlTransaction, origin: Origin, asked: BudgetDeletion) -> None:
    name = asked.name
    budgets.delete(
        transaction,
        origin,
        name.organization_id,
        name.resource_id,
        etag=asked.etag,
        force=asked.force,
        validate_only=asked.validate_only,
        manager=asked.manager,
        override_manager=asked.override_manager,
    )
