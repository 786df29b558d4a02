"""Gates: off refuses what the pattern governs."""

from dataclasses import replace

import pytest

from outlay_server.domain.errors import Violations
from outlay_server.domain.gate import DEFAULT_GATES, Gate, add_gate_violations, first_refusing, refusal_code, refuses

(OPUS,) = DEFAULT_GATES


def test_every_organization_is_born_with_the_opus_gate_off() -> None:
    """The gate of the second REST face."""
    assert Gate(gate_id="opus", label="model", pattern="claude-opus-*", enabled=False) == OPUS


@pytest.mark.parametrize(
    ("labels", "refused"),
    [
        ({"model": "claude-opus-4-1"}, True),
        ({"model": "claude-sonnet-4"}, False),
        ({"model": "x-claude-opus-4"}, False),
        ({"engine": "claude-opus-4-1"}, False),
        ({}, False),
    ],
)
def test_a_gate_that_is_off_refuses_what_its_pattern_governs(labels: dict[str, str], refused: bool) -> None:
    """And nothing else; a call without the label passes."""
    assert refuses(OPUS, labels) is refused
    assert refuses(replace(OPUS, enabled=True), labels) is False


def test_a_gate_may_govern_one_value() -> None:
    """A pattern without `*` is exact."""
    gate = Gate(gate_id="gpt", label="model", pattern="gpt-5", enabled=False)
    assert refuses(gate, {"model": "gpt-5"})
    assert not refuses(gate, {"model": "gpt-5-mini"})


def test_the_first_gate_that_refuses_is_named() -> None:
    """In the order given, skipping those that are on."""
    on = Gate(gate_id="all", label="model", pattern="*", enabled=True)
    late = replace(OPUS, gate_id="late")
    assert first_refusing([on, OPUS, late], {"model": "claude-opus-4"}) == OPUS
    assert first_refusing([on], {"model": "claude-opus-4"}) is None


def test_the_rest_code_is_made_of_the_gates_id() -> None:
    """`OPUS_NOT_ENABLED` is published; others follow it."""
    assert refusal_code("opus") == "OPUS_NOT_ENABLED"
    assert refusal_code("long-context") == "LONG_CONTEXT_NOT_ENABLED"


def test_everything_wrong_with_a_list_of_gates_is_named() -> None:
    """Ids, duplicates, labels and patterns."""
    violations = Violations()
    add_gate_violations(
        violations,
        "organization.gates",
        [OPUS, replace(OPUS, pattern="*x"), Gate(gate_id="Bad", label="", pattern="", enabled=True)],
    )
    assert [violation.field for violation in violations.found()] == [
        "organization.gates[1].gate_id",
        "organization.gates[1].pattern",
        "organization.gates[2].gate_id",
        "organization.gates[2].label",
        "organization.gates[2].pattern",
    ]


def test_there_may_be_100_gates() -> None:
    """Every check looks at all of them."""
    for count, fields in ((100, []), (101, ["gates"])):
        violations = Violations()
        add_gate_violations(violations, "gates", [replace(OPUS, gate_id=f"g{n}") for n in range(count)])
        assert [violation.field for violation in violations.found()] == fields
