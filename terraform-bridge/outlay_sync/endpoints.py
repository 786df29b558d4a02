"""Webhook endpoints: what differs from the files, and changing each of them.

They limit nothing, so they are no part of the transaction that applies an organization's caps: each is changed by
itself, after the caps, with the etag that was read. What is compared is compared here; what a URI or a secret may be is
the service's word. Secrets are sent when an endpoint is made and never compared, for they are never read back.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from google.protobuf import json_format

from outlay.v1.audit_event_pb2 import AuditEvent
from outlay.v1.caps_pb2 import CapsChange, CapsChangeType, CapsWarningReason
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint as EndpointMessage
from outlay.v1.webhook_endpoint_pb2 import WebhookFormat
from outlay_sync.desired import Organization, WebhookEndpoint
from outlay_sync.options import Options
from outlay_sync.service import CallFailedError, FieldViolation, Service

_CREATE: Final = CapsChangeType.CAPS_CHANGE_TYPE_CREATE
_UPDATE: Final = CapsChangeType.CAPS_CHANGE_TYPE_UPDATE
_ADOPT: Final = CapsChangeType.CAPS_CHANGE_TYPE_ADOPT
_DELETE: Final = CapsChangeType.CAPS_CHANGE_TYPE_DELETE

_DEFAULTS: Final[Mapping[str, Any]] = {
    "display_name": "",
    "uri": "",
    "format": "STANDARD",
    "event_types": [],
    "disabled": False,
}
"""In the order in which fields are shown."""

_SOURCE: Final = "yaml"
"""As the audit names changes that were made by applying files."""

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EndpointEdit:
    """One endpoint that differs from what is desired."""

    change: CapsChange
    message: EndpointMessage
    """The values, with the name and the etag that was read; without what comes from the environment."""
    paths: Sequence[str]
    """What is managed."""
    uri_variable: str | None
    secret_variable: str | None

    @property
    def name(self) -> str:
        return self.change.resource


class EndpointFailedError(Exception):
    """One endpoint could not be planned."""

    def __init__(self, name: str, error: CallFailedError) -> None:
        super().__init__(error.message)
        self.name = name
        self.error = error


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """What is to be done with the endpoints of one organization."""

    edits: Sequence[EndpointEdit] = ()
    orphans: Sequence[str] = ()
    """Names of those that this source keeps, that the files no longer name, and that stay."""


def plan_endpoints(
    organization: Organization,
    service: Service,
    manager: str,
    options: Options,
    environment: Environment,
    *,
    is_new: bool,
) -> EndpointPlan:
    """Compare the endpoints of an organization with its files. Raises `EndpointFailedError` and `CallFailedError`.

    `is_new` says that the organization does not exist yet: then its endpoints do not either.
    """
    if organization.webhook_endpoints is None:
        return EndpointPlan()
    found = {} if is_new else {one.name: one for one in service.list_webhook_endpoints(organization.name)}
    edits = []
    for desired in organization.webhook_endpoints:
        try:
            edit = _compared(desired, found.get(desired.name), manager, options, environment)
            if edit is not None and not is_new:
                check(edit, service, manager, environment)
                _tell_who_moved(edit.change, service)
        except CallFailedError as error:
            raise EndpointFailedError(desired.name, error) from error
        if edit is not None:
            edits.append(edit)
    named = {desired.name for desired in organization.webhook_endpoints}
    gone = [one for name, one in sorted(found.items()) if name not in named and one.managed_by == manager]
    if not options.prune:
        return EndpointPlan(edits, [one.name for one in gone])
    return EndpointPlan([*edits, *_deletions(gone, options)])


def check(edit: EndpointEdit, service: Service, manager: str, environment: Environment) -> None:
    """Ask whether a change could be made; whose the endpoint is, is told with the plan. Raises `CallFailedError`."""
    send(edit, service, manager, environment, override_manager=True, request_id="", validate_only=True)


def send(
    edit: EndpointEdit,
    service: Service,
    manager: str,
    environment: Environment,
    *,
    override_manager: bool,
    request_id: str,
    validate_only: bool = False,
) -> None:
    """Make one change. Raises `CallFailedError`."""
    message = EndpointMessage()
    message.CopyFrom(edit.message)
    if edit.uri_variable is not None:
        message.uri = _variable(environment, edit.uri_variable, "webhook_endpoint.uri")
    message.managed_by = manager
    if edit.change.type == _DELETE:
        service.delete_webhook_endpoint(message.name, message.etag, manager, request_id, validate_only=validate_only)
    elif edit.change.type == _CREATE:
        # A plan is also made where the secret is not at hand, as for a pull request.
        if edit.secret_variable is not None and not (validate_only and edit.secret_variable not in environment):
            message.secret = _variable(environment, edit.secret_variable, "webhook_endpoint.secret")
        service.create_webhook_endpoint(message, request_id, validate_only=validate_only)
    else:
        service.update_webhook_endpoint(
            message,
            [*edit.paths, "managed_by"],
            manager,
            request_id,
            override_manager=override_manager,
            validate_only=validate_only,
        )


def missing_variables(edits: Sequence[EndpointEdit], environment: Environment) -> Iterator[tuple[str, str]]:
    """Names of endpoints, and of the variables that applying needs and that are not set."""
    for edit in edits:
        secret = edit.secret_variable if edit.change.type == _CREATE else None
        for variable in (edit.uri_variable, secret):
            if variable is not None and not environment.get(variable):
                yield edit.name, variable


def _variable(environment: Environment, name: str, field: str) -> str:
    value = environment.get(name, "")
    if not value:
        message = f"the environment variable {name} is not set"
        raise CallFailedError(message, violations=[FieldViolation(field, message)])
    return value


def _compared(
    desired: WebhookEndpoint,
    found: EndpointMessage | None,
    manager: str,
    options: Options,
    environment: Environment,
) -> EndpointEdit | None:
    """What is to be done with one endpoint; None where it is as desired."""
    values: dict[str, Any] = {
        path: _DEFAULTS[path] if one.value is None else one.value for path, one in desired.settings.items()
    }
    if desired.uri_variable is not None:
        values["uri"] = _variable(environment, desired.uri_variable, "webhook_endpoint.uri")
    values = {path: sorted(value) if path == "event_types" else value for path, value in values.items()}
    before = dict(_DEFAULTS) if found is None else _values_of(found)
    differing = [path for path in _DEFAULTS if path in values and values[path] != before[path]]
    managed_by = "" if found is None else found.managed_by
    is_ours = found is not None and managed_by == manager
    if found is not None and not differing and (is_ours or not (managed_by or options.adopt)):
        return None
    type_ = _CREATE if found is None else _UPDATE if is_ours else _ADOPT
    change = CapsChange(resource=desired.name, type=type_, etag="" if found is None else found.etag)
    for path in differing:
        _add_field(change, path, None if found is None else before[path], values[path])
    if not is_ours:
        _add_field(change, "managed_by", managed_by or None, manager)
    if found is not None:
        _warn_of_owner(change, managed_by, manager, options)
    message = EndpointMessage(name=desired.name, etag=change.etag)
    for path, value in values.items():
        _set(message, path, value)
    if desired.uri_variable is not None:
        message.uri = ""
    return EndpointEdit(change, message, tuple(values), desired.uri_variable, desired.secret_variable)


def _deletions(gone: Sequence[EndpointMessage], options: Options) -> Iterator[EndpointEdit]:
    for one in gone:
        change = CapsChange(resource=one.name, type=_DELETE, etag=one.etag)
        for path, value in _values_of(one).items():
            if value != _DEFAULTS[path]:
                _add_field(change, path, value, None)
        if len(gone) > options.max_delete_count:
            change.warnings.add(
                reason=CapsWarningReason.CAPS_WARNING_REASON_TOO_MANY_DELETES,
                refused=True,
                message=f"{len(gone)} webhook endpoints would be deleted, and {options.max_delete_count} may be.",
            )
        yield EndpointEdit(change, EndpointMessage(name=one.name, etag=one.etag), (), None, None)


def _warn_of_owner(change: CapsChange, managed_by: str, manager: str, options: Options) -> None:
    if not managed_by and not options.adopt:
        change.warnings.add(
            reason=CapsWarningReason.CAPS_WARNING_REASON_NOT_ADOPTED,
            refused=True,
            message="It exists already, and is not adopted.",
        )
    if managed_by not in ("", manager):
        change.warnings.add(
            reason=CapsWarningReason.CAPS_WARNING_REASON_MANAGED_ELSEWHERE,
            refused=not options.override_manager,
            message=f"It is kept by {managed_by}.",
            metadata={"managed_by": managed_by},
        )


def _tell_who_moved(change: CapsChange, service: Service) -> None:
    """Note who changed an endpoint after these files were last applied to it, by the audit."""
    try:
        events = service.list_audit_events(change.resource)
    except CallFailedError:
        # A key for webhooks alone may not read it; the plan is as good without.
        return
    newest = events[0] if events else None
    if newest is None or newest.source == _SOURCE or not any(event.source == _SOURCE for event in events):
        return
    _copy_event(newest, change)


def _copy_event(event: AuditEvent, change: CapsChange) -> None:
    moved = change.outside_change
    moved.actor, moved.source, moved.request_id, moved.audit_event = (
        event.actor,
        event.source,
        event.request_id,
        event.name,
    )
    moved.create_time.CopyFrom(event.create_time)


def _values_of(endpoint: EndpointMessage) -> dict[str, Any]:
    return {
        "display_name": endpoint.display_name,
        "uri": endpoint.uri,
        "format": WebhookFormat.Name(endpoint.format).removeprefix("WEBHOOK_FORMAT_"),
        "event_types": sorted(endpoint.event_types),
        "disabled": endpoint.disabled,
    }


def _set(message: EndpointMessage, path: str, value: Any) -> None:
    match path:
        case "format":
            message.format = WebhookFormat.Value(f"WEBHOOK_FORMAT_{value}")
        case "event_types":
            message.event_types.extend(value)
        case _:
            setattr(message, path, value)


def _add_field(change: CapsChange, path: str, before: Any, after: Any) -> None:
    field = change.fields.add(path=path)
    if path == "uri":
        before, after = (None if value is None else shortened(value) for value in (before, after))
    json_format.ParseDict(before, field.before)
    json_format.ParseDict(after, field.after)


def shortened(uri: str) -> str:
    """A URI for people and logs: where it points, and a digest to tell one from another. The rest may open it."""
    digest = hashlib.sha256(uri.encode()).hexdigest()[:12]
    try:
        parts = urlsplit(uri)
        host = parts.hostname or parts.path.rpartition("@")[2]
    except ValueError:
        host = ""
    return f"{parts.scheme}:…{host} (sha256 {digest})" if host else f"(sha256 {digest})"
