"""What files ask for, and what is wrong with them: each field, each complaint, at its line and column."""

from pathlib import Path

import pytest

from outlay_sync import files
from outlay_sync.problems import PROBLEMS_MAX, InvalidFilesError
from sync.conftest import Complaints, Load

BUDGET = "organization: acme\nbudget_id: spending\nunit: USD\n"


def test_a_document_is_an_organization_with_its_budgets_or_one_budget(load: Load) -> None:
    in_organization = load("organization: acme\nbudgets:\n  - {budget_id: spending, unit: USD, hard_cap: 5}\n")
    alone = load(f"{BUDGET}hard_cap: 5\n")
    first, second = in_organization.organizations[0], alone.organizations[0]
    assert (first.is_declared, second.is_declared) == (True, False)
    settings = [{path: one.value for path, one in org.budgets[0].settings.items()} for org in (first, second)]
    assert settings == [{"hard_cap_micros": 5_000_000, "hard_cap_enabled": True}] * 2


def test_every_field_is_read(load: Load) -> None:
    desired = load(
        """
source: platform/caps
organization: acme
display_name: Acme Inc.
gates:
  - {gate_id: sonnet, label: model, pattern: "claude-sonnet-*", enabled: true}
  - {gate_id: opus, label: model, pattern: "claude-opus-*", enabled: false}
budgets:
  - budget_id: search
    unit: TOKENS
    display_name: "2024"
    selector: {team: search, model: claude-*}
    budget: 100.5
    hard_cap: "500.000001"
    hard_cap_enabled: false
    allotment: 0
    alert_thresholds: [0, 50, 1000]
    alerts_enabled: true
    cycle: {period: WEEK, anchor: 2026-01-05, time_zone: Europe/Berlin}
    enforcement: shadow
webhook_endpoints:
  - webhook_endpoint_id: ops
    uri: https://example.com/hook
    format: SLACK
    event_types: [alert.crossed]
    disabled: true
    secretFrom: {env: HOOK_SECRET}
"""
    )
    (organization,) = desired.organizations
    assert desired.manager == "yaml:platform/caps"
    assert organization.display_name is not None
    assert organization.display_name.value == "Acme Inc."
    assert [(gate.gate_id, gate.enabled) for gate in organization.gates or ()] == [("opus", False), ("sonnet", True)]
    assert {path: one.value for path, one in organization.budgets[0].settings.items()} == {
        "display_name": "2024",
        "selector": {"team": "search", "model": "claude-*"},
        "budget_micros": 100_500_000,
        "hard_cap_micros": 500_000_001,
        "hard_cap_enabled": False,
        "allotment_micros": 0,
        "alert_thresholds": (0, 50, 1000),
        "alerts_enabled": True,
        "cycle.period": "WEEK",
        "cycle.anchor": "2026-01-05",
        "cycle.time_zone": "Europe/Berlin",
        "enforcement": "SHADOW",
    }
    (endpoint,) = organization.webhook_endpoints
    assert {path: one.value for path, one in endpoint.settings.items()} == {
        "uri": "https://example.com/hook",
        "format": "SLACK",
        "event_types": ("alert.crossed",),
        "disabled": True,
    }
    assert endpoint.secret_variable == "HOOK_SECRET"


def test_absent_is_not_managed_and_null_is_the_default(load: Load) -> None:
    names = ("budget", "hard_cap", "allotment", "alert_thresholds", "alerts_enabled", "selector", "cycle")
    nulls = "".join(f"{name}: null\n" for name in names)
    settings = load(BUDGET + nulls).organizations[0].budgets[0].settings
    assert {path: one.value for path, one in settings.items()} == dict.fromkeys(
        [
            "selector",
            "budget_micros",
            "hard_cap_micros",
            "allotment_micros",
            "alert_thresholds",
            "alerts_enabled",
            "cycle",
        ]
    )
    assert load(BUDGET).organizations[0].budgets[0].settings == {}


def test_a_hard_cap_is_enforced_unless_false_stands_beside_it(load: Load) -> None:
    """A cap that is written down and blocks nothing is what nobody means."""

    def enabled(text: str) -> object:
        setting = load(BUDGET + text).organizations[0].budgets[0].settings.get("hard_cap_enabled")
        return None if setting is None else setting.value

    assert enabled("hard_cap: 5\n") is True
    assert enabled("hard_cap: 5\nhard_cap_enabled: false\n") is False
    assert enabled("hard_cap: null\n") is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("hard_cap: 010", 'hard_cap: "010" is no amount: write digits with at most 6 places, as 500.00'),
        ("hard_cap: 1_000", 'hard_cap: "1_000" is no amount: write digits with at most 6 places, as 500.00'),
        ("hard_cap: 1:30", 'hard_cap: "1:30" is no amount: write digits with at most 6 places, as 500.00'),
        ("hard_cap: .inf", 'hard_cap: ".inf" is no amount: write digits with at most 6 places, as 500.00'),
        ("hard_cap: 1e3", 'hard_cap: "1e3" is no amount: write digits with at most 6 places, as 500.00'),
        ("hard_cap: -5", 'hard_cap: "-5" is no amount: write digits with at most 6 places, as 500.00'),
        ("hard_cap: 0.0000001", 'hard_cap: "0.0000001" is no amount: write digits with at most 6 places, as 500.00'),
        ("hard_cap: yes", 'hard_cap: "yes" is no amount: write digits with at most 6 places, as 500.00'),
        ("hard_cap: 100000000000.01", 'hard_cap: "100000000000.01" is too large: at most 100000000000.00'),
        ("hard_cap:", "hard_cap: has no value: write null for none, or remove the line to leave it unmanaged"),
        ("hard_cap: [5]", "hard_cap: must be an amount, such as 500.00"),
        ("alerts_enabled: yes", 'alerts_enabled: must be true or false, not "yes"'),
        ('alerts_enabled: "true"', 'alerts_enabled: must be true or false, not "true"'),
        ("alerts_enabled: 1", 'alerts_enabled: must be true or false, not "1"'),
        ("display_name: yes", 'display_name: "yes" reads as a truth value: put it in quotes where text is meant'),
        ("display_name: 1.10", 'display_name: "1.10" reads as a number: put it in quotes where text is meant'),
        ("display_name: 0x1F", 'display_name: "0x1F" reads as a number: put it in quotes where text is meant'),
        ("selector: {team: 010}", 'selector["team"]: "010" reads as a number: put it in quotes where text is meant'),
        ("selector: {team: a*b}", "selector[\"team\"]: a '*' may stand only at the end of the pattern"),
        ("selector: {team: null}", 'selector["team"]: "null" reads as null: put it in quotes where text is meant'),
        ("selector: [team]", "selector: must be a mapping: label: value, where a trailing * matches a prefix"),
        ("alert_thresholds: 50", "alert_thresholds: must be a list: whole percents, such as [50, 75, 100]"),
        ("alert_thresholds: [50, 50]", "alert_thresholds[1]: must be above the one before it"),
        ("alert_thresholds: [1001]", 'alert_thresholds[0]: must be a whole percent, 0 to 1000, not "1001"'),
        ("alert_thresholds: [5.0]", 'alert_thresholds[0]: must be a whole percent, 0 to 1000, not "5.0"'),
        ("alert_thresholds: [1,2,3,4,5,6,7,8,9,10,11]", "alert_thresholds: must have at most 10 entries"),
        ("cycle: MONTH", "cycle: must be a mapping: period, anchor, time_zone"),
        (
            "cycle: {period: FORTNIGHT}",
            'cycle.period: must be one of DAY, WEEK, MONTH, QUARTER, YEAR, LIFETIME, not "FORTNIGHT"',
        ),
        ("cycle: {anchor: 2026-02-30}", "cycle.anchor: must be a date of the calendar, written YYYY-MM-DD"),
        (
            "cycle: {time_zone: ../../etc/passwd}",
            "cycle.time_zone: must be the IANA name of a time zone, such as UTC or Europe/Berlin",
        ),
        ("enforcement: Freeze", 'enforcement: must be one of ENFORCE, SHADOW, FREEZE, not "Freeze"'),
        ("hardCap: 5", "hardCap: is no field: did you mean hard_cap?"),
        ("hard_cap_micros: 5", "hard_cap_micros: is no field: did you mean hard_cap?"),
        ("tresholds: []", "tresholds: is no field: did you mean alert_thresholds?"),
        ("cap_override: {}", "cap_override: is no field"),
        ("managed_by: me", "managed_by: is no field"),
    ],
)
def test_a_value_that_is_not_acceptable_is_named_with_its_field(
    complaints: Complaints, line: str, complaint: str
) -> None:
    (found,) = complaints(f"{BUDGET}{line}\n")
    place, _, said = found.partition(": ")
    assert place.startswith("a.yaml:4:")
    assert said.startswith(complaint)


def test_everything_that_is_wrong_with_all_files_is_said_at_once(complaints: Complaints) -> None:
    found = complaints(
        "organization: ACME\nbudgets:\n  - {budget_id: a, unit: US}\n  - {unit: USD, hard_cap: x}\n  - 5\n",
        f"{BUDGET}budget: no\nfoo: 1\n",
        "a: [\n",
    )
    assert [line.partition(": ")[0] for line in found] == [
        "a.yaml:1:15",
        "a.yaml:3:26",
        "a.yaml:4:5",
        "a.yaml:4:27",
        "a.yaml:5:5",
        "b.yaml:4:9",
        "b.yaml:5:1",
        "c.yaml:2:1",
    ]


def test_what_is_written_twice_names_both_places(complaints: Complaints) -> None:
    organization = (
        "source: x\norganization: acme\ndisplay_name: A\ngates: []\nbudgets:\n  - {budget_id: spending, unit: USD}\n"
        "webhook_endpoints:\n  - {webhook_endpoint_id: ops, uri: 'https://example.com'}\n"
    )
    written = {
        complaint.partition(": written a second time, first in ")[::2]
        for complaint in complaints(organization, organization, BUDGET)
    }
    assert written == {
        ("b.yaml:1:9: source: the source", "a.yaml:1:9"),
        ("b.yaml:3:15: display_name: the display name of organizations/acme", "a.yaml:3:15"),
        ("b.yaml:4:1: gates: the gates of organizations/acme", "a.yaml:4:1"),
        ("b.yaml:6:5: budget_id: budget organizations/acme/budgets/spending", "a.yaml:6:5"),
        ("b.yaml:8:5: webhook_endpoint_id: webhook endpoint organizations/acme/webhookEndpoints/ops", "a.yaml:8:5"),
        ("c.yaml:1:1: budget_id: budget organizations/acme/budgets/spending", "a.yaml:6:5"),
    }


def test_two_files_may_share_an_organization(load: Load) -> None:
    desired = load(
        "organization: acme\ndisplay_name: A\nbudgets:\n  - {budget_id: b, unit: USD}\n",
        "organization: acme\nbudgets:\n  - {budget_id: a, unit: USD}\n",
        BUDGET,
    )
    assert [budget.budget_id for budget in desired.organizations[0].budgets] == ["a", "b", "spending"]


def test_a_gate_is_said_whole(complaints: Complaints) -> None:
    """The list is kept as a whole, so a gate without its state would be switched by chance."""
    found = complaints("organization: acme\ngates:\n  - {gate_id: opus}\n  - {gate_id: opus}\n")
    wanted = {
        f"a.yaml:{line}:5: gates[{line - 3}].{name}: must be set"
        for line in (3, 4)
        for name in ("label", "pattern", "enabled")
    }
    assert wanted <= set(found)
    assert "a.yaml:4:5: gate_id: gate opus of organizations/acme: written a second time, first in a.yaml:3:5" in found


def test_a_secret_is_never_in_a_file(complaints: Complaints) -> None:
    hook = "organization: acme\nwebhook_endpoints:\n  - webhook_endpoint_id: a\n    uri: https://example.com\n"
    assert complaints(f"{hook}    secretFrom: whsec_abc\n") == [
        "a.yaml:5:17: webhook_endpoints[0].secretFrom: must be a mapping: env: NAME"
    ]
    assert complaints(f"{hook}    secret: whsec_abc\n") == [
        "a.yaml:5:5: webhook_endpoints[0].secret: is no field: did you mean secretFrom?"
    ]


def test_the_source_is_said_once_and_has_a_default(load: Load, complaints: Complaints) -> None:
    assert load(BUDGET).manager == "yaml:caps"
    assert load(BUDGET, source="x/y").manager == "yaml:x/y"
    assert load(BUDGET, "source: platform\n").manager == "yaml:platform"
    assert complaints("source: platform\n", source="other") == [
        "a.yaml:1:9: source: is platform here and other on the command line"
    ]
    assert complaints("source: 'a b'\n")[0].startswith("a.yaml:1:9: source: must be 1 to 100 letters")


def test_a_flood_of_complaints_is_cut_and_counted(load: Load) -> None:
    with pytest.raises(InvalidFilesError) as caught:
        load("organization: acme\n" + "".join(f"k{number}: 1\n" for number in range(PROBLEMS_MAX + 5)))
    assert (len(caught.value.problems), caught.value.left_out_count) == (PROBLEMS_MAX, 5)


def test_what_a_file_says_is_repeated_harmlessly(complaints: Complaints) -> None:
    """Escape sequences of a terminal and endless text stay out of the complaint."""
    (found,) = complaints(f'{BUDGET}hard_cap: "\\e[31m{"x" * 500}"\n')
    assert "\x1b" not in found
    assert len(found) < 200


def test_a_folder_is_searched_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "sub/c.yaml", ".github/workflows/w.yaml", ".x.yaml", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(BUDGET)
    found = [str(path.relative_to(tmp_path)) for path in files.find([tmp_path, tmp_path / "a.yaml"])]
    assert found == ["a.yaml", "b.yml", "sub/c.yaml"]


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    """An empty checkout must not read as the wish to have no caps."""
    with pytest.raises(InvalidFilesError, match=r"there is no \.yaml or \.yml file in this folder"):
        files.find([tmp_path])
    with pytest.raises(InvalidFilesError, match="there is no such file or folder"):
        files.find([tmp_path / "x.yaml"])
