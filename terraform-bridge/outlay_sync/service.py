"""The service as caps as code need it; who composes the two hands it over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from outlay.v1.budget_pb2 import Budget
from outlay.v1.caps_pb2 import ApplyCapsRequest, ApplyCapsResponse
from outlay.v1.organization_pb2 import Organization
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with one field of a request."""

    field: str
    """As the proto spells it, such as `budgets[3].budget.hard_cap_micros`."""
    description: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one resource may not be changed as it was asked."""

    reason: str
    """A `CapsWarningReason` without its prefix, such as `CAP_BELOW_SPEND`."""
    resource: str
    description: str


class CallFailedError(Exception):
    """The service refused a call, or did not answer it."""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        violations: Sequence[FieldViolation] = (),
        refusals: Sequence[Refusal] = (),
        is_effect_unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        """Of the contract's `ErrorReason`; empty where nobody answered."""
        self.violations = tuple(violations)
        self.refusals = tuple(refusals)
        self.is_effect_unknown = is_effect_unknown
        """Whether a change may have been made all the same."""


class Service(Protocol):
    """Calls to the service. Each raises `CallFailedError`."""

    def apply_caps(self, request: ApplyCapsRequest) -> ApplyCapsResponse: ...

    def get_organization(self, name: str) -> Organization:
        """`organizations/-` is the organization of the key."""
        ...

    def list_organizations(self) -> list[Organization]: ...

    def list_budgets(self, organization_name: str) -> list[Budget]: ...

    def list_webhook_endpoints(self, organization_name: str) -> list[WebhookEndpoint]: ...
