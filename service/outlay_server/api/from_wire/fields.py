"""Reading one request: its fields, what is wrong with them, and the names in it that reach nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from outlay_server.api import page_tokens
from outlay_server.api.caller import Caller
from outlay_server.domain.amounts import amount_violation, cap_violation, unit_violation
from outlay_server.domain.errors import NotFound, Violations
from outlay_server.domain.instant import BEGINNING_OF_TIME, END_OF_TIME, MICROS_PER_SECOND, Instant
from outlay_server.domain.limits import LABELS_MAX, MANAGED_BY_MAX_LENGTH, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from outlay_server.domain.names import (
    AlertName,
    ApiKeyName,
    BudgetName,
    DeliveryName,
    OrganizationName,
    ReservationName,
    SpendRecordName,
    WebhookEndpointName,
    request_id_violation,
)
from outlay_server.domain.selector import (
    CanonicalLabels,
    Labels,
    Selector,
    add_label_violations,
    canonical,
    label_key_violation,
    pattern_violation,
    selector_of,
)
from outlay_server.domain.text import text_violation

OWN_ORGANIZATION: Final = "organizations/-"
"""Stands for the organization of the calling key (AIP-159 gives `-` to what the caller need not know)."""

LABEL_SETS_REMEMBERED: Final = 4_096
"""Distinct sets of labels that are known to be valid."""

_NANOS_MAX: Final = 999_999_999
_NANOS_PER_MICRO: Final = 1_000
_SECONDS_MIN: Final = BEGINNING_OF_TIME // MICROS_PER_SECOND
_SECONDS_MAX: Final = END_OF_TIME // MICROS_PER_SECOND

ChildName = BudgetName | ReservationName | SpendRecordName | ApiKeyName | AlertName | WebhookEndpointName | DeliveryName
N = TypeVar("N", BudgetName, ReservationName, SpendRecordName, ApiKeyName, AlertName, WebhookEndpointName, DeliveryName)
E = TypeVar("E")
K = TypeVar("K", bound=int)


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list are asked for."""

    size: int
    after: tuple[page_tokens.Position, ...] | None
    """Where the page before ended; None for the first page."""

    @property
    def after_id(self) -> str:
        """The id that the page before ended with; "" for the first page."""
        return "" if self.after is None else str(self.after[0])


@lru_cache(LABEL_SETS_REMEMBERED)
def _are_valid(labels: CanonicalLabels) -> bool:
    """Callers send the same few sets of labels again and again."""
    violations = Violations()
    add_label_violations(violations, "", dict(labels))
    return not violations


class Fields:
    """Collects what is wrong with one request of one caller; `finish` raises it.

    Each method takes a field's path and its value, and returns the domain's value. What it returns after a violation is
    only good for reading on. A name that reaches nothing (malformed, or of another organization) is NOT_FOUND, raised
    only where nothing else is wrong: as for a missing resource of the caller's own, whose request is read first too.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.violations = Violations()
        self._unreached: str | None = None

    def finish(self) -> None:
        """Raise `ValidationFailed` with every violation, else `NotFound` for the first name that reaches nothing."""
        self.violations.raise_if_any()
        if self._unreached is not None:
            raise NotFound(self._unreached)

    # Names

    def organization(self, field: str, name: str) -> str:
        """The id of the organization a name means; the caller's own where it is empty or `organizations/-`."""
        caller = self.caller
        if name == caller.organization_name and name:
            return caller.organization_id
        if not name or name == OWN_ORGANIZATION:
            if caller.is_platform:
                self.violations.add(field, "must name an organization: a platform key belongs to none")
            return caller.organization_id
        parsed = OrganizationName.parse(name)
        if parsed is None or not self._reaches(parsed.organization_id):
            self._miss(name)
            return ""
        return parsed.organization_id

    def required_organization(self, field: str, name: str) -> str:
        """The same where the name must be given."""
        if not name:
            self.violations.add(field, "must be set")
            return ""
        return self.organization(field, name)

    def child(self, field: str, name: str, kind: type[N], *, organization_id: str = "") -> N | None:
        """The value of a resource's name, which must be given; of that organization, where one is named beside it."""
        if not name:
            self.violations.add(field, "must be set")
            return None
        parsed = kind.parse(self._in_own_organization(field, name))
        if parsed is None or not self._reaches(parsed.organization_id):
            self._miss(name)
            return None
        if organization_id and parsed.organization_id != organization_id:
            self._miss(name)
        return parsed

    def _in_own_organization(self, field: str, name: str) -> str:
        if not name.startswith(f"{OWN_ORGANIZATION}/"):
            return name
        if self.caller.is_platform:
            self.violations.add(field, "must name an organization: a platform key belongs to none")
        return self.caller.organization_name + name.removeprefix(OWN_ORGANIZATION)

    def reaches_name(self, field: str, name: str, organization_id: str) -> str:
        """The name of any resource of an organization, as it is written in full."""
        full = self._in_own_organization(field, OWN_ORGANIZATION + "/" if name == OWN_ORGANIZATION else name).rstrip(
            "/"
        )
        own = str(OrganizationName(organization_id)) if organization_id else ""
        if organization_id and full != own and not full.startswith(f"{own}/"):
            self._miss(name)
        self.violations.add(field, text_violation(name, 256))
        return full

    def _reaches(self, organization_id: str) -> bool:
        return self.caller.is_platform or organization_id == self.caller.organization_id

    def _miss(self, name: str) -> None:
        if self._unreached is None:
            self._unreached = name

    # Values

    def request_id(self, request_id: str, *, required: bool = False) -> str:
        if request_id or required:
            self.violations.add("request_id", request_id_violation(request_id) if request_id else "must be set")
        return request_id

    def manager(self, manager: str) -> str:
        self.violations.add("manager", text_violation(manager, MANAGED_BY_MAX_LENGTH))
        return manager

    def text(self, field: str, text: str, max_length: int) -> str:
        self.violations.add(field, text_violation(text, max_length))
        return text

    def unit(self, field: str, unit: str) -> str:
        self.violations.add(field, unit_violation(unit))
        return unit

    def optional_unit(self, field: str, unit: str) -> str:
        """A unit, or "" for any."""
        return self.unit(field, unit) if unit else ""

    def amount(self, field: str, amount_micros: int, *, minimum: int = 0) -> int:
        self.violations.add(field, amount_violation(amount_micros, minimum=minimum))
        return amount_micros

    def cap(self, field: str, cap_micros: int) -> int:
        self.violations.add(field, cap_violation(cap_micros))
        return cap_micros

    def choice(self, field: str, number: K, choices: Mapping[K, E]) -> E:
        """What an enum's number stands for. An unknown number is refused: it may mean something to a later version."""
        found = choices.get(number)
        if found is None:
            self.violations.add(field, f"{number} is no value of this enum")
            return next(iter(choices.values()))
        return found

    def labels(self, field: str, labels: Labels) -> CanonicalLabels:
        if not labels:
            return ()
        if len(labels) > LABELS_MAX:
            # Refused unread: sorting them would be work for nothing.
            add_label_violations(self.violations, field, labels)
            return ()
        # A map of the wire is slow to walk: once is enough.
        items = canonical(labels)
        if not _are_valid(items):
            add_label_violations(self.violations, field, dict(items))
        return items

    def label_filters(self, field: str, filters: Sequence[str]) -> Selector:
        """The selector that filters like `team=search` and `model=claude-*` make together."""
        patterns: dict[str, str] = {}
        if len(filters) > LABELS_MAX:
            self.violations.add(field, f"must have at most {LABELS_MAX} entries")
            return selector_of(patterns)
        for index, text in enumerate(filters):
            where = f"{field}[{index}]"
            key, equals, pattern = text.partition("=")
            if not equals:
                self.violations.add(where, "must be written key=value")
                continue
            self.violations.add(where, label_key_violation(key) or pattern_violation(pattern))
            if key in patterns:
                self.violations.add(where, "must not name a label again")
            patterns[key] = pattern
        return selector_of(patterns)

    # Time

    def instant(self, field: str, timestamp: Timestamp) -> Instant:
        """The instant of a timestamp; what is finer than a microsecond is cut off."""
        seconds, nanos = timestamp.seconds, timestamp.nanos
        if not (_SECONDS_MIN <= seconds <= _SECONDS_MAX and 0 <= nanos <= _NANOS_MAX):
            self.violations.add(field, "must lie in the years 1 to 9999, with 0 to 999,999,999 nanos")
            return BEGINNING_OF_TIME
        return Instant(seconds * MICROS_PER_SECOND + nanos // _NANOS_PER_MICRO)

    def optional_instant(self, field: str, request: Message) -> Instant | None:
        """The same for a field that may be absent; `field` is its path, whose last part is its name in `request`."""
        name = field.rpartition(".")[2]
        return self.instant(field, getattr(request, name)) if request.HasField(name) else None

    def duration_micros(self, field: str, duration: Duration, *, min_seconds: int, max_seconds: int) -> int:
        """A length of time in whole microseconds; what is finer is cut off."""
        seconds, nanos = duration.seconds, duration.nanos
        # Bounds on the seconds first: a product of two numbers of the wire would otherwise be as long as they like.
        is_valid = 0 <= seconds <= max_seconds and 0 <= nanos <= _NANOS_MAX
        micros = seconds * MICROS_PER_SECOND + nanos // _NANOS_PER_MICRO
        is_long = seconds == max_seconds and nanos > 0
        if not is_valid or is_long or micros < min_seconds * MICROS_PER_SECOND:
            self.violations.add(field, f"must be {min_seconds} s to {max_seconds} s")
            return min_seconds * MICROS_PER_SECOND
        return micros

    # Pages

    def page(
        self,
        request: Any,
        shape: Sequence[type] = (str,),
        *,
        default: int = PAGE_SIZE_DEFAULT,
        maximum: int = PAGE_SIZE_MAX,
    ) -> Page:
        """The page a list request asks for (AIP-158); `shape` is that of the positions in its tokens."""
        size: int = request.page_size
        if size < 0:
            self.violations.add("page_size", "must not be negative")
        after = None
        if request.page_token:
            after = page_tokens.unseal(request, request.page_token, shape)
            if after is None:
                self.violations.add("page_token", "must be the next_page_token of the same request's page before")
        return Page(min(size, maximum) if size > 0 else default, after)
