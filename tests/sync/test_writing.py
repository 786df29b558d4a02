"""What is exported reads back as what it was, by readers of YAML 1.1 too."""

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from outlay.v1.budget_pb2 import Budget, Enforcement, Period
from outlay.v1.organization_pb2 import Gate, Organization
from outlay_cli.caps.rules import RULES
from outlay_server.domain.amounts import format_micros
from outlay_sync.files import load_contents
from outlay_sync.requests import desired_budget
from outlay_sync.writing import organization_file, quoted, source_file

_NOT_IN_TEXT = ("Cs", "Cc", "Zl", "Zp")
_LINE = st.text(st.characters(exclude_categories=_NOT_IN_TEXT), max_size=30)
_LABEL = st.text(st.characters(exclude_categories=_NOT_IN_TEXT, exclude_characters="*"), min_size=1, max_size=15)
MISREAD = (
    *("yes", "null", "~", "010", "1_000", "1:30", "2026-01-31", ".inf", "<<", "=", "0x1F", "1e3"),
    *("- a", "a: b", "a #b", "", " a", "a "),
)
_MICROS = st.one_of(st.none(), st.integers(0, 10**17))


@st.composite
def budgets(draw: st.DrawFn) -> Budget:
    budget = Budget(
        name=f"organizations/acme/budgets/{draw(st.sampled_from(['spending', 'no', 'y', 'null']))}",
        unit=draw(st.sampled_from(["USD", "YES", "NULL", "OFF"])),
        display_name=draw(_LINE),
        selector=draw(st.dictionaries(_LABEL, _LABEL, max_size=3)),
        hard_cap_enabled=draw(st.booleans()),
        alerts_enabled=draw(st.booleans()),
        enforcement=draw(st.sampled_from(Enforcement.values()[1:])),
    )
    for name in ("budget_micros", "hard_cap_micros", "allotment_micros"):
        if (micros := draw(_MICROS)) is not None:
            setattr(budget, name, micros)
    budget.cycle.period = draw(st.sampled_from(Period.values()[1:]))
    budget.cycle.anchor = "2026-01-31"
    budget.cycle.time_zone = "Europe/Berlin"
    percents = draw(st.one_of(st.none(), st.lists(st.integers(0, 1000), unique=True, max_size=10)))
    if percents is not None:
        budget.alert_thresholds.percents.extend(sorted(percents))
        budget.alert_thresholds.SetInParent()
    return budget


@given(budgets())
def test_a_budget_reads_back_as_it_was(budget: Budget) -> None:
    text = organization_file(Organization(name="organizations/acme"), [budget], [], format_micros, with_settings=False)
    (organization,) = load_contents({"f": text.encode()}, RULES).organizations
    assert desired_budget(organization.budgets[0]).budget == budget


@given(name=_LINE, label=_LABEL, enabled=st.booleans())
def test_an_organization_reads_back_as_it_was(name: str, label: str, enabled: bool) -> None:
    gate = Gate(gate_id="opus", label=label, pattern=f"{label}*", enabled=enabled)
    exported = Organization(name="organizations/acme", display_name=name, gates=[gate])
    text = organization_file(exported, [], [], format_micros, with_settings=True)
    (organization,) = load_contents({"f": text.encode()}, RULES).organizations
    assert organization.display_name is not None
    assert organization.display_name.value == name
    (read,) = organization.gates or ()
    assert (read.label, read.pattern, read.enabled) == (label, f"{label}*", enabled)


@given(st.one_of(_LINE, st.sampled_from(MISREAD)))
def test_text_is_text_to_every_reader(text: str) -> None:
    """The tools of others read these files too, and most of them speak YAML 1.1."""
    document: Any = yaml.safe_load(f"[{quoted(text)}, {{k: {quoted(text)}}}]")
    assert document == [text, {"k": text}]


def test_the_source_is_written_once_for_all() -> None:
    assert load_contents({"f": source_file("platform/caps").encode()}, RULES).manager == "yaml:platform/caps"
