"""What a value of a field may be: the service's own rules, handed over by who composes the two.

YAML is checked offline and by the same functions as a request is, so that what is valid in a file is valid on the wire.
They are handed over because caps as code speak to a service through its contract and do not know its code.
"""

from collections.abc import Callable
from dataclasses import dataclass

Violation = Callable[[str], str | None]
"""Says what is wrong with a text, or None."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of the service."""

    id: Violation
    unit: Violation
    label_key: Violation
    label_pattern: Violation
    date: Violation
    time_zone: Violation
    amount: Callable[[str], int]
    """A decimal amount as micros; raises ValueError with what is wrong with it."""
    format_amount: Callable[[int], str]
    """Its inverse."""
    webhook_uri: Callable[[str, str], str | None]
    """What is wrong with a URI for a format, wherever the service runs; what it refuses beyond is its setting."""
    text: Callable[[str, int], str | None]
    """A line of free text, and how many characters it may have."""
    display_name_max_length: int
    managed_by_max_length: int
    labels_max: int
    """Entries of a selector."""
    thresholds_max: int
    threshold_percent_min: int
    threshold_percent_max: int
    budgets_max: int
    gates_max: int
    webhook_endpoints_max: int
    webhook_event_types: tuple[str, ...]
