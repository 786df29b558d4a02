"""What becomes of each resource when caps in code are applied: an edit, and how it is told."""

from dataclasses import dataclass, field

from outlay_server.control.budget_writes import Edit
from outlay_server.control.webhook_endpoints import Secret
from outlay_server.domain.caps import DesiredCaps
from outlay_server.domain.names import WebhookEndpointName
from outlay_server.domain.plan import CapsWarning, ChangeType, FieldChange
from outlay_server.domain.views import OrganizationView, etag_of
from outlay_server.domain.webhook import Endpoint


@dataclass(frozen=True, slots=True)
class OrganizationEdit:
    """The organization itself as it is (None: it does not exist) and as it is to be."""

    before: OrganizationView | None
    after: OrganizationView


@dataclass(frozen=True, slots=True)
class EndpointEdit:
    """A webhook endpoint as it is and as it is to be; None where it does not exist."""

    before: Endpoint | None
    after: Endpoint | None
    secret: Secret | None = field(default=None, repr=False)
    """What becomes its secret; None: nothing else than there is."""

    @property
    def name(self) -> str:
        endpoint = self.after or self.before
        assert endpoint is not None, "an edit is of something"
        return str(WebhookEndpointName(endpoint.organization_id, endpoint.endpoint_id))


@dataclass(frozen=True, slots=True)
class Decided:
    """What becomes of one resource."""

    resource: str
    type: ChangeType
    edit: Edit | OrganizationEdit | EndpointEdit
    fields: tuple[FieldChange, ...]
    owner_warnings: tuple[CapsWarning, ...]
    needed: frozenset[str]
    """Scopes of which one is needed to do it."""
    unseen: str = ""
    """A digest of what changes and is not among the fields."""

    @property
    def etag_before(self) -> str:
        return "" if self.edit.before is None else etag_of(self.edit.before.revision)

    @property
    def etag_after(self) -> str:
        return "" if self.edit.after is None else etag_of(self.edit.after.revision)


def is_taken_over(managed_by: str, desired: DesiredCaps) -> bool:
    """Say whether a resource that is as desired, and not this manager's, is a change all the same.

    What nobody keeps is left to nobody until it is adopted: caps that were exported plan nothing. What another manager
    keeps is named by both, which one of them must give up.
    """
    return bool(managed_by) or desired.leave.adopt
