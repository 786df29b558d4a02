"""What readers are shown: resources together with what is computed about them at the moment of reading."""

from dataclasses import dataclass

from outlay_server.domain.budget import Budget, BudgetCounter, Limits
from outlay_server.domain.forecast import Forecast
from outlay_server.domain.gate import Gate
from outlay_server.domain.instant import Instant


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget and its spend in the cycle that runs."""

    budget: Budget
    counter: BudgetCounter
    limits: Limits
    now: Instant
    forecast: Forecast | None = None
    """Where its spend goes. None also where it was not asked for."""


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """An organization."""

    organization_id: str
    display_name: str
    gates: tuple[Gate, ...]
    managed_by: str
    revision: int
    create_time: Instant
    update_time: Instant


@dataclass(frozen=True, slots=True)
class KeyView:
    """An API key without its secret."""

    organization_id: str
    key_id: str
    display_name: str
    scopes: tuple[str, ...]
    last_four: str
    create_time: Instant
    last_used_time: Instant | None
    expire_time: Instant | None
    revoke_time: Instant | None

    @property
    def revision(self) -> int:
        """What the etag is made of: a key changes once, when it is revoked."""
        return self.create_time if self.revoke_time is None else self.revoke_time


def etag_of(revision: int) -> str:
    """The etag of a resource at a revision (AIP-154)."""
    return f"r{revision}"
