"""The plan rules, on a schema that has one attribute of each kind."""

from typing import Any

import pytest

from outlay_terraform.framework.plan import plan_change, settled
from outlay_terraform.framework.schema import Attribute, Mode, Schema
from outlay_terraform.framework.types import NUMBER, STRING, Object
from outlay_terraform.framework.values import UNKNOWN

MEMBERS = (
    Attribute(name="inner", type=STRING, mode=Mode.DEFAULTED, default=lambda _p, _c: "in", description=""),
    Attribute(name="free", type=STRING, mode=Mode.OPTIONAL, description=""),
)
SCHEMA = Schema(
    "",
    (
        Attribute(name="key", type=STRING, mode=Mode.REQUIRED, replaces=True, description=""),
        Attribute(
            name="limit", type=STRING, mode=Mode.OPTIONAL, same=lambda a, b: bool(float(a) == float(b)), description=""
        ),
        Attribute(name="tone", type=STRING, mode=Mode.DEFAULTED, default=lambda _p, _c: "calm", description=""),
        Attribute(
            name="part",
            type=Object({"inner": STRING, "free": STRING}),
            members=MEMBERS,
            mode=Mode.DEFAULTED,
            default=lambda _p, _c: {"inner": "in", "free": None},
            description="",
        ),
        Attribute(name="secret", type=STRING, mode=Mode.OPTIONAL, write_only=True, description=""),
        Attribute(name="turn", type=NUMBER, mode=Mode.OPTIONAL, description=""),
        Attribute(name="id", type=STRING, kept=True, derived=lambda p: p["key"], description=""),
        Attribute(name="born", type=STRING, kept=True, description=""),
        Attribute(name="seen", type=STRING, description=""),
    ),
)
CONFIG: dict[str, Any] = dict.fromkeys(SCHEMA.by_name) | {"key": "k"}
STATE: dict[str, Any] = {
    "key": "k",
    "limit": None,
    "tone": "calm",
    "part": {"inner": "in", "free": None},
    "secret": None,
    "turn": None,
    "id": "k",
    "born": "1970",
    "seen": "today",
}


def test_a_creation_has_defaults_and_what_only_the_service_knows_is_unknown() -> None:
    plan = plan_change(SCHEMA, None, CONFIG)
    assert plan.planned == {**STATE, "born": UNKNOWN, "seen": UNKNOWN}
    assert (plan.changes, plan.replace) == (True, ())


def test_nothing_is_planned_where_nothing_changes() -> None:
    """What is computed stays known: an unknown there would be a change in every plan."""
    plan = plan_change(SCHEMA, STATE, CONFIG)
    assert (plan.planned, plan.changes) == (STATE, False)


@pytest.mark.parametrize(
    ("written", "planned"),
    [
        ({"limit": "5"}, {"limit": "5"}),
        ({"limit": ""}, {"limit": ""}),
        ({"tone": "shrill"}, {"tone": "shrill"}),
        ({"tone": UNKNOWN}, {"tone": UNKNOWN}),
        ({"part": {"inner": "out", "free": None}}, {"part": {"inner": "out", "free": None}}),
        ({"part": {"inner": UNKNOWN, "free": None}}, {"part": {"inner": UNKNOWN, "free": None}}),
        ({"part": {"inner": None, "free": "x"}}, {"part": {"inner": "in", "free": "x"}}),
        ({"part": UNKNOWN}, {"part": UNKNOWN}),
    ],
)
def test_a_change_makes_unknown_only_what_it_may_change(written: dict[str, Any], planned: dict[str, Any]) -> None:
    assert plan_change(SCHEMA, STATE, {**CONFIG, **written}).planned == {**STATE, **planned, "seen": UNKNOWN}


def test_a_line_that_is_removed_is_planned_as_null_or_as_the_default() -> None:
    before = {**STATE, "limit": "5", "tone": "shrill", "part": {"inner": "out", "free": "x"}}
    assert plan_change(SCHEMA, before, CONFIG).planned == {**STATE, "seen": UNKNOWN}


def test_what_means_the_same_is_planned_as_it_was() -> None:
    before = {**STATE, "limit": "5.0"}
    plan = plan_change(SCHEMA, before, {**CONFIG, "limit": "5"})
    assert (plan.planned, plan.changes) == (before, False)


@pytest.mark.parametrize("key", ["other", UNKNOWN])
def test_another_identity_replaces(key: Any) -> None:
    plan = plan_change(SCHEMA, STATE, {**CONFIG, "key": key})
    assert plan.replace == (("key",),)


def test_what_is_write_only_is_never_planned() -> None:
    assert plan_change(SCHEMA, STATE, {**CONFIG, "secret": "hush"}).planned == STATE
    assert plan_change(SCHEMA, None, {**CONFIG, "secret": "hush"}).planned["secret"] is None


def test_the_state_after_an_apply_is_what_was_planned_and_what_was_found() -> None:
    planned = {**STATE, "limit": "5", "seen": UNKNOWN}
    found = {**STATE, "limit": "5.00", "seen": "now", "secret": "hush"}
    assert settled(SCHEMA, planned, found) == {**STATE, "limit": "5", "seen": "now"}
