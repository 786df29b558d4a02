"""Who is calling, and one call of theirs."""

from dataclasses import dataclass, field
from typing import Final

from outlay_server.control.origin import Origin
from outlay_server.domain.api_key import Scope
from outlay_server.domain.instant import Instant
from outlay_server.domain.names import ApiKeyName, OrganizationName

PLATFORM_ACTOR: Final = "platform"


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a valid key. Made once a key, kept while the key is cached."""

    organization_id: str
    """"" for the platform key, which belongs to none."""
    key_id: str
    """"" for the platform key."""
    scopes: frozenset[str]
    expire_time: Instant | None
    organization_name: str = field(init=False)
    """As it stands in requests; "" for the platform key."""

    def __post_init__(self) -> None:
        name = str(OrganizationName(self.organization_id)) if self.organization_id else ""
        object.__setattr__(self, "organization_name", name)

    @property
    def is_platform(self) -> bool:
        return not self.organization_id

    @property
    def actor(self) -> str:
        """The caller as the audit names it."""
        return PLATFORM_ACTOR if self.is_platform else str(ApiKeyName(self.organization_id, self.key_id))


PLATFORM: Final = Caller(organization_id="", key_id="", scopes=frozenset(Scope), expire_time=None)
"""The holder of the platform key."""


@dataclass(slots=True)
class Call:
    """What a method knows of its call beside the request."""

    method: str
    """Without its service, such as `CheckSpend`."""
    caller: Caller
    source: str
    """An `AuditSource`."""
    correlation_id: str

    def origin(self, request_id: str) -> Origin:
        """Where a change comes from, as the audit tells it: by the caller's own request_id where there is one."""
        caller = self.caller
        return Origin(caller.actor, self.source, request_id or self.correlation_id, caller.is_platform)
