"""Organizations and API keys: names, settings, and the changes that are asked for them."""

from dataclasses import dataclass

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1 import organization_pb2
from outlay_server.api.caller import Caller
from outlay_server.api.from_wire.fields import Fields, Page
from outlay_server.api.from_wire.masks import paths_of
from outlay_server.domain.api_key import ORGANIZATION_SCOPES, add_scope_violations
from outlay_server.domain.gate import Gate, add_gate_violations
from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import DISPLAY_NAME_MAX_LENGTH, GATES_PER_ORGANIZATION_MAX, MANAGED_BY_MAX_LENGTH
from outlay_server.domain.names import ApiKeyName, id_violation
from outlay_server.domain.settings import ORGANIZATION_PATHS, OrganizationSettings


@dataclass(frozen=True, slots=True)
class OrganizationCreation:
    """CreateOrganization, read."""

    organization_id: str
    settings: OrganizationSettings
    validate_only: bool
    request_id: str


@dataclass(frozen=True, slots=True)
class OrganizationUpdate:
    """UpdateOrganization, read."""

    organization_id: str
    settings: OrganizationSettings
    paths: frozenset[str]
    etag: str
    allow_missing: bool
    validate_only: bool
    manager: str
    override_manager: bool
    request_id: str


@dataclass(frozen=True, slots=True)
class OrganizationDeletion:
    """DeleteOrganization, read."""

    organization_id: str
    etag: str
    force: bool
    validate_only: bool
    manager: str
    override_manager: bool
    request_id: str


@dataclass(frozen=True, slots=True)
class KeyCreation:
    """CreateApiKey, read."""

    organization_id: str
    display_name: str
    scopes: tuple[str, ...]
    """Sorted."""
    expire_time: Instant | None
    request_id: str


@dataclass(frozen=True, slots=True)
class KeyRevocation:
    """RevokeApiKey, read."""

    name: ApiKeyName
    etag: str
    request_id: str


def get(request: pb.GetOrganizationRequest, caller: Caller) -> str:
    """The organization's id."""
    fields = Fields(caller)
    organization_id = fields.required_organization("name", request.name)
    fields.finish()
    return organization_id


def listing(request: pb.ListOrganizationsRequest, caller: Caller) -> Page:
    fields = Fields(caller)
    page = fields.page(request)
    fields.finish()
    return page


def create(request: pb.CreateOrganizationRequest, caller: Caller) -> OrganizationCreation:
    fields = Fields(caller)
    fields.violations.add("organization_id", id_violation(request.organization_id))
    creation = OrganizationCreation(
        organization_id=request.organization_id,
        settings=settings(fields, request.organization, ORGANIZATION_PATHS),
        validate_only=request.validate_only,
        request_id=fields.request_id(request.request_id),
    )
    fields.finish()
    return creation


def update(request: pb.UpdateOrganizationRequest, caller: Caller) -> OrganizationUpdate:
    fields = Fields(caller)
    paths = paths_of(fields, request, "organization", ORGANIZATION_PATHS)
    change = OrganizationUpdate(
        organization_id=fields.required_organization("organization.name", request.organization.name),
        settings=settings(fields, request.organization, ORGANIZATION_PATHS if request.allow_missing else paths),
        paths=paths,
        etag=request.organization.etag,
        allow_missing=request.allow_missing,
        validate_only=request.validate_only,
        manager=fields.manager(request.manager),
        override_manager=request.override_manager,
        request_id=fields.request_id(request.request_id),
    )
    fields.finish()
    return change


def delete(request: pb.DeleteOrganizationRequest, caller: Caller) -> OrganizationDeletion:
    fields = Fields(caller)
    deletion = OrganizationDeletion(
        organization_id=fields.required_organization("name", request.name),
        etag=request.etag,
        force=request.force,
        validate_only=request.validate_only,
        manager=fields.manager(request.manager),
        override_manager=request.override_manager,
        request_id=fields.request_id(request.request_id),
    )
    fields.finish()
    return deletion


def create_key(request: pb.CreateApiKeyRequest, caller: Caller) -> KeyCreation:
    fields = Fields(caller)
    scopes = request.api_key.scopes
    # One more than there are scopes: then one is named twice or is none, and is named as such.
    add_scope_violations(fields.violations, "api_key.scopes", scopes[: len(ORGANIZATION_SCOPES) + 1])
    creation = KeyCreation(
        organization_id=fields.required_organization("parent", request.parent),
        display_name=fields.text("api_key.display_name", request.api_key.display_name, DISPLAY_NAME_MAX_LENGTH),
        scopes=tuple(sorted(scopes)),
        expire_time=fields.optional_instant("api_key.expire_time", request.api_key),
        request_id=fields.request_id(request.request_id),
    )
    fields.finish()
    return creation


def list_keys(request: pb.ListApiKeysRequest, caller: Caller) -> tuple[str, Page]:
    """The organization and the page."""
    fields = Fields(caller)
    organization_id = fields.required_organization("parent", request.parent)
    page = fields.page(request)
    fields.finish()
    return organization_id, page


def revoke_key(request: pb.RevokeApiKeyRequest, caller: Caller) -> KeyRevocation:
    fields = Fields(caller)
    name = fields.child("name", request.name, ApiKeyName)
    request_id = fields.request_id(request.request_id)
    fields.finish()
    assert name is not None
    return KeyRevocation(name, request.etag, request_id)


def settings(
    fields: Fields, organization: organization_pb2.Organization, paths: frozenset[str]
) -> OrganizationSettings:
    """The settings in a message, checked as far as `paths` names them; the others have their defaults."""
    display_name = managed_by = ""
    gates: tuple[Gate, ...] = ()
    if "display_name" in paths:
        display_name = fields.text("organization.display_name", organization.display_name, DISPLAY_NAME_MAX_LENGTH)
    if "gates" in paths:
        # One more than there may be, so that too many are refused without being read.
        read = organization.gates[: GATES_PER_ORGANIZATION_MAX + 1]
        gates = tuple(Gate(gate.gate_id, gate.label, gate.pattern, gate.enabled) for gate in read)
        add_gate_violations(fields.violations, "organization.gates", gates)
        gates = tuple(sorted(gates, key=lambda gate: gate.gate_id))
    if "managed_by" in paths:
        managed_by = fields.text("organization.managed_by", organization.managed_by, MANAGED_BY_MAX_LENGTH)
    return OrganizationSettings(display_name=display_name, gates=gates, managed_by=managed_by)
