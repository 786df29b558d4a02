"""What the files ask for: the caps that are kept as code, with the place where each setting is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from outlay_sync.problems import Place

DEFAULT_SOURCE: Final = "caps"
"""Stands for files that name no source."""

SOURCE: Final = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}"
"""What a source may be called; `yaml:` goes before it in `managed_by`."""

Value = str | int | bool | tuple[int, ...] | tuple[str, ...] | Mapping[str, str] | None
"""A setting: text, micros or a count, a switch, thresholds, a selector; None is the default, for a limit: no limit."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that is managed. What is absent from the files has none."""

    value: Value
    place: Place


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget that is kept as code."""

    organization_id: str
    budget_id: str
    unit: str
    settings: Mapping[str, Setting]
    """By the path that an update mask names, such as `hard_cap_micros` or `cycle.time_zone`."""
    unit_place: Place
    place: Place

    @property
    def name(self) -> str:
        return f"organizations/{self.organization_id}/budgets/{self.budget_id}"


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate, whole."""

    gate_id: str
    label: str
    pattern: str
    enabled: bool
    place: Place


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """A webhook endpoint that is kept as code."""

    organization_id: str
    webhook_endpoint_id: str
    settings: Mapping[str, Setting]
    """By the path that an update mask names; without `secret`, and without `uri` where it comes from a variable."""
    uri_variable: str | None
    """The environment variable that holds the URI, where that is a secret itself, as Slack's are."""
    secret_variable: str | None
    """The environment variable that holds the signing secret; None leaves the secret to the service."""
    place: Place

    @property
    def name(self) -> str:
        return f"organizations/{self.organization_id}/webhookEndpoints/{self.webhook_endpoint_id}"


@dataclass(frozen=True, slots=True)
class Organization:
    """What is kept of one organization."""

    organization_id: str
    place: Place
    is_declared: bool
    """Whether a document is about it, and not only about a budget of it: then it is created where it is missing."""
    display_name: Setting | None
    gates: tuple[Gate, ...] | None
    """All gates that there are to be, by id; None leaves them alone."""
    gates_place: Place | None
    budgets: tuple[Budget, ...]
    """By id."""
    webhook_endpoints: tuple[WebhookEndpoint, ...]
    """By id."""

    @property
    def name(self) -> str:
        return f"organizations/{self.organization_id}"


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that the files ask for."""

    source: str
    """Which files these are, among all that keep caps of a service."""
    organizations: tuple[Organization, ...]
    """By id."""

    @property
    def manager(self) -> str:
        """The `managed_by` of what these files keep."""
        return f"yaml:{self.source}"
