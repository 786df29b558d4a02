"""`outlay_organization`: a tenant. Its gates are resources of their own."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1 import organization_pb2
from outlay_client.errors import OutlayRpcError
from outlay_terraform import checks, failures, names
from outlay_terraform.framework.contracts import Change, Remote
from outlay_terraform.framework.diagnostics import Diagnostic, Failure, Path, error, warning
from outlay_terraform.framework.schema import Attribute, Mode, Schema, known
from outlay_terraform.framework.types import STRING
from outlay_terraform.framework.values import UNKNOWN, Value, Values
from outlay_terraform.resources import shared
from outlay_terraform.service import MANAGER, Service, new_request_id

ATTEMPTS: Final = 20
"""How often an organization is read and written again that others write at the same time. Each attempt but the last
lost to a change that succeeded, so that somebody gets on."""

_FIELDS: Final[Mapping[str, Path]] = {
    "organization_id": ("organization_id",),
    "organization.display_name": ("display_name",),
}

Answer = TypeVar("Answer")

Settings = Mapping[str, Any]
"""Fields of the message, by name."""


def _id_of(planned: Values) -> Value:
    organization_id = planned["organization_id"]
    return names.organization_name(organization_id) if known(organization_id) else UNKNOWN


class Organization:
    """The tenant itself: its id and its display name."""

    type_name = "outlay_organization"
    schema = Schema(
        "A tenant. It is born with the budgets `spending` (USD) and `credits` (CREDITS) and the gate `opus`; declare"
        " them as resources to manage them. Deleting it stops its API keys for good; its ledger and audit stay, and its"
        " id is not given again. Takes the platform key.",
        (
            Attribute(
                name="organization_id",
                type=STRING,
                mode=Mode.REQUIRED,
                replaces=True,
                checks=(checks.ID,),
                description="The id, `[a-z][a-z0-9-]{0,62}`. Another id takes another organization.",
            ),
            shared.DISPLAY_NAME,
            Attribute(
                name="id", type=STRING, kept=True, derived=_id_of, description="The name: `organizations/` and the id."
            ),
            shared.MANAGED_BY,
            shared.CREATE_TIME,
        ),
    )

    def path_of(self, field: str) -> Path:
        return failures.located(field, _FIELDS)

    def validate(self, config: Values) -> Iterator[Diagnostic]:
        yield from ()

    def read(self, service: Service, state: Values) -> Remote | None:
        try:
            return _remote(service.organization(names.organization_name(state["organization_id"])))
        except OutlayRpcError as raised:
            if raised.reason == "NOT_FOUND":
                return None
            raise

    def find(self, service: Service, import_id: str) -> Remote:
        return _remote(service.organization(names.organization_name(names.parsed_organization(import_id))))

    def create(self, service: Service, change: Change) -> Remote:
        planned = change.planned
        request = pb.CreateOrganizationRequest(
            organization_id=planned["organization_id"],
            organization=organization_pb2.Organization(display_name=planned["display_name"], managed_by=MANAGER),
            request_id=new_request_id(),
        )
        try:
            return _remote(service.call(service.admin.CreateOrganization, request))
        except OutlayRpcError as raised:
            if raised.reason == "ALREADY_EXISTS":
                raise self._taken(service, planned) from None
            raise

    def update(self, service: Service, change: Change) -> Remote:
        assert change.prior is not None, "an update has something to change"
        wanted = {"display_name": change.planned["display_name"], "managed_by": MANAGER}
        return _remote(_written(service, change.prior, change.private, wanted))

    def delete(self, service: Service, prior: Values, private: Mapping[str, str]) -> None:
        try:
            _deleted(service, prior, private)
        except OutlayRpcError as raised:
            if raised.reason != "NOT_FOUND":
                raise

    def foresee(self, service: Service, prior: Values | None, planned: Values | None) -> Iterator[Diagnostic]:
        if prior is None:
            return
        yield from failures.unless_kept_elsewhere(prior["id"], prior["managed_by"])
        if planned is None:
            yield warning(
                f"{prior['id']} is deleted for good",
                "Its API keys stop working, its budgets limit nothing any more, and its id is not given again. Its"
                " ledger and audit stay.",
            )

    def _taken(self, service: Service, planned: Values) -> Failure:
        name = names.organization_name(planned["organization_id"])
        try:
            service.organization(name)
        except OutlayRpcError as raised:
            if raised.reason != "NOT_FOUND":
                raise
            detail = f"{name} was deleted, and the id of a deleted organization is not given again. Choose another."
            return Failure(error("The id is taken", detail, ("organization_id",)))
        return failures.already_exists(self.type_name, name)


def _remote(found: organization_pb2.Organization) -> Remote:
    values = {
        "organization_id": names.organization_id(found.name),
        "display_name": found.display_name,
        "id": found.name,
        "managed_by": found.managed_by,
        "create_time": found.create_time.ToJsonString(),
    }
    return Remote(values, {"etag": found.etag})


def _same_settings(found: organization_pb2.Organization, prior: Values) -> bool:
    """Whether what this resource keeps is as the plan took it to be. The gates, which others keep, may differ."""
    return (found.display_name, found.managed_by) == (prior["display_name"], prior["managed_by"])


def _written(
    service: Service, prior: Values, private: Mapping[str, str], wanted: Settings
) -> organization_pb2.Organization:
    name = prior["id"]
    request = pb.UpdateOrganizationRequest(
        organization=organization_pb2.Organization(name=name, etag=private.get("etag", ""), **wanted), manager=MANAGER
    )
    request.update_mask.paths.extend(sorted(wanted))

    def act(etag: str) -> organization_pb2.Organization:
        request.organization.etag, request.request_id = etag, new_request_id()
        return service.call(service.admin.UpdateOrganization, request)

    return _with_current_etag(service, prior, private, act)


def _deleted(service: Service, prior: Values, private: Mapping[str, str]) -> None:
    request = pb.DeleteOrganizationRequest(name=prior["id"], manager=MANAGER)

    def act(etag: str) -> None:
        request.etag, request.request_id = etag, new_request_id()
        service.call(service.admin.DeleteOrganization, request)

    _with_current_etag(service, prior, private, act)


def _with_current_etag(
    service: Service, prior: Values, private: Mapping[str, str], act: Callable[[str], Answer]
) -> Answer:
    """Act with the etag of the plan; and where only the gates moved since, which share the etag, with the new one."""
    name = prior["id"]
    with service.lock(name):
        etag = private.get("etag", "")
        for attempt in range(ATTEMPTS):
            try:
                return act(etag)
            except OutlayRpcError as raised:
                if raised.reason != "ETAG_MISMATCH":
                    raise
            found = service.organization(name)
            if not _same_settings(found, prior) or attempt == ATTEMPTS - 1:
                break
            etag = found.etag
    raise failures.changed_outside(name)
