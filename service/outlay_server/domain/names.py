"""Resource names (AIP-122): how they are written and read, and which ids they may hold.

Each kind of resource has a frozen value with its ids. `str(value)` is the name on the wire, `parse(name)` its inverse:
every name that parses is written back byte for byte. `parse` returns None for text that is no such name, and the caller
decides what that means:

- In a field that says *which* resource is meant, a malformed name is answered NOT_FOUND exactly as a missing one is, so
  that the shape of an id tells nobody anything.
- An id that a caller *chooses* (`budget_id`, `organization_id`, `gate_id`) is checked with `id_violation`.

Ids that the service chooses (reservations, records, alerts, events, keys, endpoints) are UUIDs in lower case.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from outlay_server.domain.limits import ID_PATTERN, REQUEST_ID_MAX_LENGTH, REQUEST_ID_PATTERN

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def is_id(text: str) -> bool:
    """Say whether `text` may be the id of an organization, budget or gate."""
    return ID_PATTERN.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Say whether `text` is a UUID as this service writes it: 36 characters, lower case, hyphenated."""
    return _UUID.fullmatch(text) is not None


def id_violation(text: str) -> str | None:
    """Return what is wrong with an id that a caller chose, or None."""
    if is_id(text):
        return None
    return "must be 1 to 63 characters: a lower-case letter, then lower-case letters, digits and hyphens"


def request_id_violation(text: str) -> str | None:
    """Return what is wrong with a request_id, or None. Whether it may be left out is the method's business."""
    if REQUEST_ID_PATTERN.fullmatch(text):
        return None
    return f"must be 1 to {REQUEST_ID_MAX_LENGTH} characters of printable ASCII"


@dataclass(frozen=True, slots=True)
class OrganizationName:
    """`organizations/{organization}`: the tenant, and the parent of everything else."""

    organization_id: str

    def __str__(self) -> str:
        return f"organizations/{self.organization_id}"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Return the value of a name, or None where it is no name of an organization."""
        head, slash, organization_id = name.partition("/")
        if head != "organizations" or not slash or not is_id(organization_id):
            return None
        return cls(organization_id)


@dataclass(frozen=True, slots=True)
class _ChildName:
    """`organizations/{organization}/{collection}/{resource_id}`; the collection is the subclass's."""

    organization_id: str
    resource_id: str

    collection: ClassVar[str]

    @property
    def organization(self) -> OrganizationName:
        """The parent."""
        return OrganizationName(self.organization_id)

    def __str__(self) -> str:
        return f"organizations/{self.organization_id}/{self.collection}/{self.resource_id}"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Return the value of a name, or None where it is no name of this collection."""
        parts = name.split("/", 4)
        if len(parts) != 4 or parts[0] != "organizations" or parts[2] != cls.collection:
            return None
        _, organization_id, _, resource_id = parts
        if not is_id(organization_id) or not cls._is_resource_id(resource_id):
            return None
        return cls(organization_id, resource_id)

    @classmethod
    def _is_resource_id(cls, text: str) -> bool:
        return is_uuid(text)


@dataclass(frozen=True, slots=True)
class BudgetName(_ChildName):
    """`organizations/{organization}/budgets/{budget}`; the client chooses the id."""

    collection: ClassVar[str] = "budgets"

    @classmethod
    def _is_resource_id(cls, text: str) -> bool:
        return is_id(text)


@dataclass(frozen=True, slots=True)
class ReservationName(_ChildName):
    """`organizations/{organization}/reservations/{uuid}`."""

    collection: ClassVar[str] = "reservations"


@dataclass(frozen=True, slots=True)
class SpendRecordName(_ChildName):
    """`organizations/{organization}/spendRecords/{uuid}`."""

    collection: ClassVar[str] = "spendRecords"


@dataclass(frozen=True, slots=True)
class AlertName(_ChildName):
    """`organizations/{organization}/alerts/{uuid}`."""

    collection: ClassVar[str] = "alerts"


@dataclass(frozen=True, slots=True)
class AuditEventName(_ChildName):
    """`organizations/{organization}/auditEvents/{uuid}`."""

    collection: ClassVar[str] = "auditEvents"


@dataclass(frozen=True, slots=True)
class ApiKeyName(_ChildName):
    """`organizations/{organization}/apiKeys/{uuid}`: the key's id, which is not secret."""

    collection: ClassVar[str] = "apiKeys"


@dataclass(frozen=True, slots=True)
class WebhookEndpointName(_ChildName):
    """`organizations/{organization}/webhookEndpoints/{webhook_endpoint}`; the client chooses the id."""

    collection: ClassVar[str] = "webhookEndpoints"

    @classmethod
    def _is_resource_id(cls, text: str) -> bool:
        return is_id(text)


@dataclass(frozen=True, slots=True)
class DeliveryName:
    """`organizations/{organization}/webhookEndpoints/{webhook_endpoint}/deliveries/{uuid}`; the id is the event's."""

    organization_id: str
    endpoint_id: str
    event_id: str

    @property
    def endpoint(self) -> WebhookEndpointName:
        """The parent."""
        return WebhookEndpointName(self.organization_id, self.endpoint_id)

    def __str__(self) -> str:
        return f"{self.endpoint}/deliveries/{self.event_id}"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Return the value of a name, or None where it is no name of a delivery."""
        parent, slash, event_id = name.rpartition("/deliveries/")
        endpoint = WebhookEndpointName.parse(parent)
        if not slash or endpoint is None or not is_uuid(event_id):
            return None
        return cls(endpoint.organization_id, endpoint.resource_id, event_id)
