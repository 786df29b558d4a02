"""A file is valid exactly where the service would take what it asks for."""

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.budget_pb2 import Budget
from outlay_cli.caps.rules import RULES
from outlay_server.api.caller import Caller
from outlay_server.api.from_wire import budgets as from_wire
from outlay_server.domain.errors import OutlayError
from outlay_sync.files import load_contents
from outlay_sync.problems import InvalidFilesError
from outlay_sync.writing import quoted

CALLER = Caller("", "", frozenset(), None)

_WORDS = st.text(alphabet=string.ascii_letters + string.digits + " -_*/.:#'\"\\\u00e9\u2028\x07\U0001f600", max_size=70)
_IDS = st.one_of(st.sampled_from(["spending", "a", "a" * 63, "a" * 64, "A", "1a", "a_b", ""]), _WORDS)
_UNITS = st.one_of(st.sampled_from(["USD", "US", "usd", "CREDITS", "T" * 32, "T" * 33, "1AB", "A_1"]), _WORDS)
_ZONES = st.one_of(st.sampled_from(["UTC", "Europe/Berlin", "Mars/Olympus", "localtime", "../UTC", "America"]), _WORDS)
_DATES = st.one_of(st.sampled_from(["2026-01-31", "2026-02-30", "20260131", "2026-1-1", "0001-01-01"]), _WORDS)
_THRESHOLDS = st.lists(st.integers(-1, 1002), max_size=12)
_SELECTORS = st.dictionaries(
    _WORDS, st.one_of(st.sampled_from(["a*", "a*b", "*", "x" * 255, "x" * 256]), _WORDS), max_size=18
)


def _is_valid(text: str) -> bool:
    try:
        load_contents({"f": text.encode()}, RULES)
    except InvalidFilesError:
        return False
    return True


def _is_taken(budget_id: str, budget: Budget) -> bool:
    request = pb.CreateBudgetRequest(parent="organizations/acme", budget_id=budget_id, budget=budget)
    try:
        from_wire.create(request, CALLER)
    except OutlayError:
        return False
    return True


def _file(budget_id: str = "spending", unit: str = "USD", **fields: str) -> str:
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return f"organization: acme\nbudget_id: {quoted(budget_id)}\nunit: {quoted(unit)}\n{lines}"


@given(budget_id=_IDS)
def test_ids(budget_id: str) -> None:
    assert _is_valid(_file(budget_id)) == _is_taken(budget_id, Budget(unit="USD"))


@given(unit=_UNITS)
def test_units(unit: str) -> None:
    assert _is_valid(_file(unit=unit)) == _is_taken("spending", Budget(unit=unit))


@given(name=st.one_of(_WORDS, st.sampled_from(["x" * 128, "x" * 129, "\u00e9" * 128])))
def test_display_names(name: str) -> None:
    taken = _is_taken("spending", Budget(unit="USD", display_name=name))
    assert _is_valid(_file(display_name=quoted(name))) == taken


@given(zone=_ZONES)
def test_time_zones(zone: str) -> None:
    budget = Budget(unit="USD")
    budget.cycle.time_zone = zone
    # Empty on the wire is the default; a file says null for that.
    assert _is_valid(_file(cycle=f"{{time_zone: {quoted(zone)}}}")) == (_is_taken("spending", budget) and zone != "")


@given(anchor=_DATES)
def test_anchors(anchor: str) -> None:
    budget = Budget(unit="USD")
    budget.cycle.anchor = anchor
    assert _is_valid(_file(cycle=f"{{anchor: {quoted(anchor)}}}")) == (_is_taken("spending", budget) and anchor != "")


@given(percents=_THRESHOLDS)
def test_thresholds(percents: list[int]) -> None:
    budget = Budget(unit="USD")
    budget.alert_thresholds.percents.extend(percents)
    assert _is_valid(_file(alert_thresholds=str(percents))) == _is_taken("spending", budget)


@given(selector=_SELECTORS)
@settings(max_examples=200)
def test_selectors(selector: dict[str, str]) -> None:
    written = ", ".join(f"{quoted(key)}: {quoted(value)}" for key, value in selector.items())
    taken = _is_taken("spending", Budget(unit="USD", selector=selector))
    assert _is_valid(_file(selector=f"{{{written}}}")) == taken


@given(micros=st.one_of(st.integers(0, 10**17 + 2), st.integers(10**17 - 2, 2 * 10**17)))
def test_amounts(micros: int) -> None:
    """Every amount that the service takes can be written, to the micro, and no other."""
    text = f"{micros // 1_000_000}.{micros % 1_000_000:06d}"
    assert _is_valid(_file(hard_cap=text)) == _is_taken("spending", Budget(unit="USD", hard_cap_micros=micros))
    if _is_valid(_file(hard_cap=text)):
        desired = load_contents({"f": _file(hard_cap=text).encode()}, RULES)
        assert desired.organizations[0].budgets[0].settings["hard_cap_micros"].value == micros
