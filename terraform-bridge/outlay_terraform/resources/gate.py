"""`outlay_gate`: one switch of an organization.

The service keeps gates in a list of the organization, so each change reads the list, changes one gate in it and writes
it back with the etag that was read; where somebody else was faster it is read again.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1.organization_pb2 import Gate as GateMessage
from outlay.v1.organization_pb2 import Organization
from outlay_client.core import pause_seconds
from outlay_client.errors import OutlayRpcError
from outlay_terraform import checks, failures, names
from outlay_terraform.framework.contracts import Change, Remote
from outlay_terraform.framework.diagnostics import Diagnostic, Failure, Path, error, warning
from outlay_terraform.framework.schema import Attribute, Mode, Schema
from outlay_terraform.framework.types import BOOL, STRING
from outlay_terraform.framework.values import Values
from outlay_terraform.resources import shared
from outlay_terraform.resources.organization import ATTEMPTS
from outlay_terraform.service import MANAGER, Service, new_request_id

_BORN: Final = GateMessage(gate_id="opus", label="model", pattern="claude-opus-*", enabled=False)
"""What every organization is born with. As long as nobody has touched it, nobody has to import it either."""

_GATE_FIELD: Final = re.compile(r"organization\.gates\[[0-9]+\]\.(gate_id|label|pattern|enabled)")

Gates = list[GateMessage]


class Gate:
    """A switch for the spend whose label matches its pattern."""

    type_name = "outlay_gate"
    schema = Schema(
        "A named switch of an organization: while it is off, checks whose label matches the pattern are denied,"
        " whatever the budgets say. Every organization is born with the gate `opus` (label `model`, pattern"
        " `claude-opus-*`, off); declaring it takes it over. Takes the platform key.",
        (
            shared.ORGANIZATION,
            Attribute(
                name="gate_id",
                type=STRING,
                mode=Mode.REQUIRED,
                replaces=True,
                checks=(checks.ID,),
                description="The id, `[a-z][a-z0-9-]{0,62}`, unique in the organization. The billing faces call the"
                " denial `<GATE_ID>_NOT_ENABLED`. Another id takes another gate.",
            ),
            Attribute(
                name="label",
                type=STRING,
                mode=Mode.REQUIRED,
                checks=(checks.LABEL,),
                description="The label that is looked at, such as `model`. A check without that label passes.",
            ),
            Attribute(
                name="pattern",
                type=STRING,
                mode=Mode.REQUIRED,
                checks=(checks.PATTERN,),
                description="The value that matches; with a trailing `*`, every value that begins with the rest.",
            ),
            Attribute(
                name="enabled",
                type=BOOL,
                mode=Mode.REQUIRED,
                description="Whether matching spend may pass: `false` denies it.",
            ),
            Attribute(
                name="id",
                type=STRING,
                kept=True,
                derived=lambda planned: names.child_if_known(planned, "gates", "gate_id"),
                description="`organizations/{organization}/gates/{gate_id}`.",
            ),
        ),
    )

    def path_of(self, field: str) -> Path:
        found = _GATE_FIELD.match(field)
        return (found[1],) if found else ()

    def validate(self, config: Values) -> Iterator[Diagnostic]:
        yield from ()

    def read(self, service: Service, state: Values) -> Remote | None:
        try:
            found = service.organization(names.organization_name(state["organization"]))
        except OutlayRpcError as raised:
            if raised.reason == "NOT_FOUND":
                return None
            raise
        gate = _named(found.gates, state["gate_id"])
        return None if gate is None else _remote(found, gate)

    def find(self, service: Service, import_id: str) -> Remote:
        organization, gate_id = names.parsed_child(import_id, "gates", "gate")
        found = service.organization(names.organization_name(organization))
        gate = _named(found.gates, gate_id)
        if gate is None:
            raise Failure(error("Not found", f"{found.name} has no gate {gate_id!r}."))
        return _remote(found, gate)

    def create(self, service: Service, change: Change) -> Remote:
        wanted = _message(change.planned)

        def add(gates: Gates) -> Gates:
            there = _named(gates, wanted.gate_id)
            if there is not None and there != _BORN:
                raise failures.already_exists(self.type_name, change.planned["id"])
            return [*_without(gates, wanted.gate_id), wanted]

        return _remote(_rewritten(service, change.planned, add), wanted)

    def update(self, service: Service, change: Change) -> Remote:
        assert change.prior is not None, "an update has something to change"
        expected, wanted = _message(change.prior), _message(change.planned)

        def replace(gates: Gates) -> Gates:
            if _named(gates, wanted.gate_id) != expected:
                raise failures.changed_outside(change.planned["id"])
            return [*_without(gates, wanted.gate_id), wanted]

        return _remote(_rewritten(service, change.planned, replace), wanted)

    def delete(self, service: Service, prior: Values, private: Mapping[str, str]) -> None:
        expected = _message(prior)

        def remove(gates: Gates) -> Gates:
            there = _named(gates, expected.gate_id)
            if there is not None and there != expected:
                raise failures.changed_outside(prior["id"])
            return _without(gates, expected.gate_id)

        try:
            _rewritten(service, prior, remove)
        except OutlayRpcError as raised:
            if raised.reason != "NOT_FOUND":
                raise

    def foresee(self, service: Service, prior: Values | None, planned: Values | None) -> Iterator[Diagnostic]:
        if prior is not None and planned is None and not prior["enabled"]:
            yield warning(
                f"{prior['id']} is off, and is deleted",
                f"Spend whose label {prior['label']} matches {prior['pattern']} is refused now, and passes then.",
            )


def _message(values: Values) -> GateMessage:
    return GateMessage(**{name: values[name] for name in ("gate_id", "label", "pattern", "enabled")})


def _remote(organization: Organization, gate: GateMessage) -> Remote:
    return Remote(
        {
            "organization": names.organization_id(organization.name),
            "gate_id": gate.gate_id,
            "label": gate.label,
            "pattern": gate.pattern,
            "enabled": gate.enabled,
            "id": f"{organization.name}/gates/{gate.gate_id}",
        }
    )


def _named(gates: Iterable[GateMessage], gate_id: str) -> GateMessage | None:
    return next((gate for gate in gates if gate.gate_id == gate_id), None)


def _without(gates: Gates, gate_id: str) -> Gates:
    return [gate for gate in gates if gate.gate_id != gate_id]


def _rewritten(service: Service, values: Values, changed: Callable[[Gates], Gates]) -> Organization:
    """The organization, with the list of its gates changed. Other gates, and who manages it, stay as they are.

    Gates of one organization take turns within this process; against others it is the etag that decides.
    """
    name = names.organization_name(values["organization"])
    with service.lock(name):
        for attempt in range(1, ATTEMPTS + 1):
            found = service.organization(name)
            gates = changed(list(found.gates))
            if gates == list(found.gates):
                return found
            try:
                return _write(service, found, gates)
            except OutlayRpcError as raised:
                if raised.reason != "ETAG_MISMATCH":
                    raise
                service.pause(pause_seconds(attempt))
    raise failures.changed_outside(name)


def _write(service: Service, found: Organization, gates: Gates) -> Organization:
    request = pb.UpdateOrganizationRequest(
        organization=Organization(name=found.name, etag=found.etag, gates=sorted(gates, key=lambda gate: gate.gate_id)),
        manager=MANAGER,
        request_id=new_request_id(),
    )
    request.update_mask.paths.append("gates")
    written: Organization = service.call(service.admin.UpdateOrganization, request)
    return written
