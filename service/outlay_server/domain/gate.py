"""Gates: switches of an organization that refuse a class of calls while they are off."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from outlay_server.domain.errors import Violations
from outlay_server.domain.limits import GATES_PER_ORGANIZATION_MAX
from outlay_server.domain.names import id_violation
from outlay_server.domain.selector import Labels, label_key_violation, matches_pattern, pattern_violation


@dataclass(frozen=True, slots=True)
class Gate:
    """One switch."""

    gate_id: str
    """Unique in the organization, with the grammar of all ids."""

    label: str
    """The label that is looked at; a call without it passes."""

    pattern: str
    """The values that the gate governs: exact, or a prefix with a trailing `*`."""

    enabled: bool
    """Off refuses; on lets pass."""


DEFAULT_GATES: Final = (Gate(gate_id="opus", label="model", pattern="claude-opus-*", enabled=False),)
"""What every organization is born with."""


def refuses(gate: Gate, labels: Labels) -> bool:
    """Say whether this gate refuses a call with these labels."""
    if gate.enabled:
        return False
    value = labels.get(gate.label)
    return value is not None and matches_pattern(gate.pattern, value)


def first_refusing(gates: Iterable[Gate], labels: Labels) -> Gate | None:
    """Return the first gate in the given order that refuses the call, or None."""
    for gate in gates:
        if refuses(gate, labels):
            return gate
    return None


def refusal_code(gate_id: str) -> str:
    """Return the code by which the REST face names a closed gate: `OPUS_NOT_ENABLED` for `opus`."""
    return f"{gate_id.upper().replace('-', '_')}_NOT_ENABLED"


def add_gate_violations(violations: Violations, field: str, gates: Iterable[Gate]) -> None:
    """Note everything that is wrong with an organization's list of gates."""
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        if index == GATES_PER_ORGANIZATION_MAX:
            violations.add(field, f"must have at most {GATES_PER_ORGANIZATION_MAX} entries")
            return
        where = f"{field}[{index}]"
        violations.add(f"{where}.gate_id", id_violation(gate.gate_id))
        if gate.gate_id in seen:
            violations.add(f"{where}.gate_id", "must be unique among the organization's gates")
        seen.add(gate.gate_id)
        violations.add(f"{where}.label", label_key_violation(gate.label))
        violations.add(f"{where}.pattern", pattern_violation(gate.pattern) if gate.pattern else "must not be empty")
