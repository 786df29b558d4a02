"""Reading many budgets: one by one while they are few, a whole organization at once when they are many.

Terraform asks about each resource of a run by itself, at most some ten at a time. A thousand calls cost the service ten
times what the same budgets cost it in one list.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from outlay.v1.budget_pb2 import Budget
from outlay_client.errors import OutlayRpcError
from outlay_terraform import names

FEW: Final = 20
"""Reads of an organization by itself, before the whole of it is read: a list is worth about so many."""

FRESH_SECONDS: Final = 3.0
"""How old what is answered may be. A plan takes longer than this from its first read to its last, and what changed
since then is found by the etag, whatever was read."""


@dataclass(slots=True)
class _Organization:
    """What is known of one organization."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    reads: int = 0
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    fresh_until: float = 0.0
    changes: int = 0
    """Changes by this process: what was read before one must not be kept after it."""


class BudgetReader:
    """Reads budgets for many threads."""

    def __init__(
        self,
        read_one: Callable[[str], Budget],
        read_all: Callable[[str], Iterable[Budget]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read_one` takes the name of a budget, `read_all` that of an organization."""
        self._read_one = read_one
        self._read_all = read_all
        self._clock = clock
        self._organizations: dict[str, _Organization] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Budget:
        """A budget, at most `FRESH_SECONDS` old. Raises what the reads raise; NOT_FOUND is never an old answer."""
        organization = self._organization_of(name)
        with self._lock:
            organization.reads += 1
            few = organization.reads <= FEW
        found = None if few else self._all(names.parent(name), organization).get(name)
        return found if found is not None else self._read_one(name)

    def forget(self, name: str) -> None:
        """Note that this process changes the budget: what was read of its organization is read again."""
        organization = self._organization_of(name)
        with self._lock:
            organization.changes += 1
            organization.fresh_until = 0.0

    def _organization_of(self, name: str) -> _Organization:
        with self._lock:
            return self._organizations.setdefault(names.parent(name), _Organization())

    def _all(self, parent: str, organization: _Organization) -> Mapping[str, Budget]:
        # Whoever comes while the list is read waits for it, instead of reading one more.
        with organization.lock:
            now = self._clock()
            if now < organization.fresh_until:
                return organization.budgets
            changes = organization.changes
            try:
                budgets = {each.name: each for each in self._read_all(parent)}
            except OutlayRpcError:
                # The read by itself says what is wrong.
                return {}
            with self._lock:
                if organization.changes == changes:
                    organization.budgets, organization.fresh_until = budgets, now + FRESH_SECONDS
            return budgets
