"""`outlay_budget`: limits and alert thresholds over one unit."""

from collections.abc import Iterator, Mapping
from typing import Final

from outlay.v1 import budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay_client.errors import OutlayRpcError
from outlay_terraform import failures, money, names
from outlay_terraform.framework.contracts import Change, Remote
from outlay_terraform.framework.diagnostics import Diagnostic, Path, warning
from outlay_terraform.framework.schema import known
from outlay_terraform.framework.values import Values, is_known
from outlay_terraform.resources import budget_schema as schema
from outlay_terraform.service import MANAGER, Service, new_request_id

_BORN: Final = frozenset({"spending", "credits"})
"""The budgets that every organization is born with."""


class Budget:
    """Limits over one unit."""

    type_name = "outlay_budget"
    schema = schema.SCHEMA

    def path_of(self, field: str) -> Path:
        return failures.located(field, schema.FIELD_PATHS)

    def validate(self, config: Values) -> Iterator[Diagnostic]:
        budget, hard_cap = config["budget"], config["hard_cap"]
        if known(budget) and known(hard_cap) and config["hard_cap_enabled"] in (None, True):
            valid = money.complaint(budget) is None and money.complaint(hard_cap) is None
            if valid and money.micros(budget) > money.micros(hard_cap):
                yield warning(
                    "The soft budget is never reached",
                    f"The hard cap of {hard_cap} blocks before spend reaches the soft budget of {budget}.",
                    ("budget",),
                )
        if config["alerts_enabled"] is False and known(config["alert_thresholds"]) and config["alert_thresholds"]:
            yield warning("No alert is raised", "alerts_enabled is false.", ("alert_thresholds",))

    def read(self, service: Service, state: Values) -> Remote | None:
        try:
            return _remote(service.reader.get(names.child(state["organization"], "budgets", state["budget_id"])))
        except OutlayRpcError as raised:
            if raised.reason == "NOT_FOUND":
                return None
            raise

    def find(self, service: Service, import_id: str) -> Remote:
        organization, budget_id = names.parsed_child(import_id, "budgets", "budget")
        return _remote(service.budget(names.child(organization, "budgets", budget_id)))

    def create(self, service: Service, change: Change) -> Remote:
        request = _creation(change.planned)
        request.request_id = new_request_id()
        try:
            return _remote(service.call(service.budgets.CreateBudget, request))
        except OutlayRpcError as raised:
            if raised.reason != "ALREADY_EXISTS":
                raise
        return _remote(self._adopted(service, change.planned))

    def _adopted(self, service: Service, planned: Values) -> budget_pb2.Budget:
        """A budget that its organization was born with and nobody has touched, made what is planned.

        Raises `Failure` for any other.
        """
        name = names.child(planned["organization"], "budgets", planned["budget_id"])
        found = service.budget(name)
        untouched = found.create_time == found.update_time and not found.managed_by
        if planned["budget_id"] not in _BORN or not untouched or found.unit != planned["unit"]:
            raise failures.already_exists(self.type_name, name)
        return _update(service, name, planned, list(schema.MASK_PATHS), found.etag)

    def update(self, service: Service, change: Change) -> Remote:
        changed = [name for name in schema.MASK_PATHS if change.differs(name)]
        name, etag = change.planned["id"], change.private.get("etag", "")
        return _remote(_update(service, name, change.planned, changed, etag))

    def delete(self, service: Service, prior: Values, private: Mapping[str, str]) -> None:
        service.reader.forget(prior["id"])
        request = pb.DeleteBudgetRequest(
            name=prior["id"], etag=private.get("etag", ""), manager=MANAGER, request_id=new_request_id()
        )
        try:
            service.call(service.budgets.DeleteBudget, request)
        except OutlayRpcError as raised:
            if raised.reason != "NOT_FOUND":
                raise

    def foresee(self, service: Service, prior: Values | None, planned: Values | None) -> Iterator[Diagnostic]:
        if prior is not None:
            yield from failures.unless_kept_elsewhere(prior["id"], prior["managed_by"])
        if planned is None:
            assert prior is not None, "only what is there is deleted"
            yield from _lost(_look(service, prior["id"]))
        else:
            yield from _too_low(service, prior, planned)


def _look(service: Service, name: str) -> budget_pb2.Budget:
    """The budget for a warning, which is not worth waiting for."""
    return service.call_once(service.budgets.GetBudget, pb.GetBudgetRequest(name=name))


def _creation(planned: Values) -> pb.CreateBudgetRequest:
    request = pb.CreateBudgetRequest(
        parent=names.organization_name(planned["organization"]),
        budget_id=planned["budget_id"],
        budget=schema.message_of(planned),
    )
    request.budget.managed_by = MANAGER
    return request


def _update(service: Service, name: str, planned: Values, changed: list[str], etag: str) -> budget_pb2.Budget:
    """Set what changed, and only that: what is absent from the configuration is cleared by being named in the mask."""
    request = pb.UpdateBudgetRequest(budget=schema.message_of(planned), manager=MANAGER, request_id=new_request_id())
    request.budget.name, request.budget.etag, request.budget.managed_by = name, etag, MANAGER
    service.reader.forget(name)
    request.update_mask.paths.extend([*(schema.MASK_PATHS[each] for each in changed), "managed_by"])
    return service.call(service.budgets.UpdateBudget, request)


def _remote(budget: budget_pb2.Budget) -> Remote:
    return Remote(schema.values_of(budget), {"etag": budget.etag})


def _lost(budget: budget_pb2.Budget) -> Iterator[Diagnostic]:
    """What the deletion of a budget ends."""
    spend = budget.spend
    if spend.reserved_micros:
        yield warning(
            f"{budget.name} holds reservations",
            f"{money.text(spend.reserved_micros)} {budget.unit} are reserved. The service refuses to delete it until"
            " they are settled or expire.",
        )
    if spend.spent_micros:
        yield warning(
            f"{budget.name} has spend",
            f"{money.text(spend.spent_micros)} {budget.unit} were spent in this cycle. Without the budget nothing"
            " limits what follows; the records stay.",
        )


def _too_low(service: Service, prior: Values | None, planned: Values) -> Iterator[Diagnostic]:
    """A warning for each limit that is new and below what has been spent."""
    lowered = [name for name in ("hard_cap", "allotment") if _binds_anew(name, prior, planned)]
    if not lowered:
        return
    if prior is not None:
        budget = _look(service, prior["id"])
    else:
        # Spend of this cycle may be there before the budget is.
        foreseen = _as_if_created(service, planned)
        if foreseen is None:
            return
        budget = foreseen
    for name in lowered:
        spent = budget.spend.spent_micros
        if spent > money.micros(planned[name]):
            until = budget.spend.cycle_end.ToJsonString() if budget.spend.HasField("cycle_end") else "it is raised"
            yield warning(
                f"{name} is below current spend",
                f"{money.text(spent)} {budget.unit} were spent in this cycle; a {name} of {planned[name]} denies all"
                f" further spend until {until}.",
                (name,),
            )


def _as_if_created(service: Service, planned: Values) -> budget_pb2.Budget | None:
    """What the service would answer to a creation; None where that cannot be asked yet."""
    if not is_known({name: value for name, value in planned.items() if name != "create_time"}):
        return None
    creation = _creation(planned)
    creation.validate_only = True
    if creation.parent in service.unborn:
        return None
    try:
        return service.call_once(service.budgets.CreateBudget, creation)
    except OutlayRpcError as raised:
        if raised.reason == "NOT_FOUND":
            service.unborn.add(creation.parent)
            return None
        raise


def _binds_anew(name: str, prior: Values | None, planned: Values) -> bool:
    """Whether a limit is set, or enabled, by this change."""
    if not known(planned[name]) or (name == "hard_cap" and planned["hard_cap_enabled"] is not True):
        return False
    if prior is None:
        return True
    switched = name == "hard_cap" and prior["hard_cap_enabled"] is not True
    return switched or planned[name] != prior[name]
