"""Caps as code over gRPC: the plan is what applying does, all of it or nothing, and it names who moved."""

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from api.edge import UNIT, Client, Edge, Failure
from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import caps_pb2 as caps

ACME = "organizations/acme"
CREATE, UPDATE, ADOPT, DELETE = (
    caps.CAPS_CHANGE_TYPE_CREATE,
    caps.CAPS_CHANGE_TYPE_UPDATE,
    caps.CAPS_CHANGE_TYPE_ADOPT,
    caps.CAPS_CHANGE_TYPE_DELETE,
)


def desired(budget_id: str, mask: str = "", organization: str = ACME, **values: Any) -> dict[str, Any]:
    """A budget of which exactly the given settings are managed, and those that `mask` names beside them."""
    paths = [name for name in values if name not in ("unit", "etag")] + mask.split()
    return {"budget": {"name": f"{organization}/budgets/{budget_id}", **values}, "update_mask": {"paths": paths}}


def request(*budgets: Mapping[str, Any], **more: Any) -> caps.ApplyCapsRequest:
    settings: dict[str, Any] = {"organization": ACME, "manager": "yaml:caps"}
    return caps.ApplyCapsRequest(budgets=list(budgets), **(settings | more))


async def plan(client: Client, asked: caps.ApplyCapsRequest) -> caps.ApplyCapsResponse:
    shown = caps.ApplyCapsRequest()
    shown.CopyFrom(asked)
    shown.validate_only = True
    answer: caps.ApplyCapsResponse = await client.call("ApplyCaps", shown)
    return answer


async def applied(client: Client, asked: caps.ApplyCapsRequest) -> caps.ApplyCapsResponse:
    answer: caps.ApplyCapsResponse = await client.call("ApplyCaps", asked)
    return answer


def told(answer: caps.ApplyCapsResponse) -> dict[str, tuple[int, dict[str, tuple[Any, Any]]]]:
    """Type and fields of each change, by the end of the resource's name."""
    return {
        change.resource.rpartition("/")[2]: (
            change.type,
            {field.path: (plain(field.before), plain(field.after)) for field in change.fields},
        )
        for change in answer.changes
    }


def plain(value: Message) -> Any:
    return MessageToDict(value)


def warned(answer: caps.ApplyCapsResponse) -> list[tuple[str, bool]]:
    """Reason and refusal of each warning."""
    prefix = "CAPS_WARNING_REASON_"
    return [
        (caps.CapsWarningReason.Name(warning.reason).removeprefix(prefix), warning.refused)
        for change in answer.changes
        for warning in change.warnings
    ]


def refusals(failure: Failure) -> list[tuple[str, str]]:
    """Type and subject of what an apply was refused for."""
    status = status_pb2.Status.FromString(failure.trailers["grpc-status-details-bin"])
    found = error_details_pb2.PreconditionFailure()
    for detail in status.details:
        if detail.Is(found.DESCRIPTOR):
            detail.Unpack(found)
    return [(each.type, each.subject.rpartition("/")[2]) for each in found.violations]


async def budget(edge: Edge, budget_id: str) -> Any:
    return await edge.platform.call("GetBudget", pb.GetBudgetRequest(name=f"{ACME}/budgets/{budget_id}"))


async def events(edge: Edge, resource: str = "", organization: str = ACME) -> list[Any]:
    """Newest first."""
    asked = admin.ListAuditEventsRequest(parent=organization, resource=resource)
    return list((await edge.platform.call("ListAuditEvents", asked)).audit_events)


async def spend(edge: Edge, amount: int, unit: str = "USD") -> None:
    asked = pb.RecordSpendRequest(organization=ACME, unit=unit, amount_micros=amount, request_id=f"spend-{amount}")
    await edge.platform.call("RecordSpend", asked)


TEAM = desired("team", unit="USD", hard_cap_micros=5 * UNIT, hard_cap_enabled=True, selector={"team": "a"})


# Plans


async def test_a_plan_tells_what_applying_does_and_changes_nothing(edge: Edge) -> None:
    """Each field before and after, in the JSON form of the audit. Applied, the next plan is empty."""
    writer = await edge.client("budgets:write")
    before = await events(edge)
    shown = await plan(writer, request(TEAM))
    assert told(shown) == {
        "team": (
            CREATE,
            {
                "unit": (None, "USD"),
                "selector": (None, {"team": "a"}),
                "hard_cap_micros": (None, "5000000"),
                "hard_cap_enabled": (None, True),
                "managed_by": (None, "yaml:caps"),
            },
        )
    }
    assert list(shown.required_scopes) == ["budgets:write"]
    assert await events(edge) == before
    done = await applied(writer, request(TEAM, plan_etag=shown.plan_etag))
    assert told(done) == told(shown)
    assert done.changes[0].etag == (await budget(edge, "team")).etag
    again = await plan(writer, request(TEAM))
    assert not again.changes
    assert not again.required_scopes


async def test_only_what_the_mask_names_is_managed(edge: Edge) -> None:
    """Named and absent is cleared, not named is left alone."""
    writer = await edge.client("budgets:write")
    await applied(writer, request(desired("team", unit="USD", hard_cap_micros=5, budget_micros=4, display_name="A")))
    await applied(writer, request(desired("team", "hard_cap_micros", display_name="B")))
    found = await budget(edge, "team")
    assert (found.HasField("hard_cap_micros"), found.budget_micros, found.display_name) == (False, 4, "B")
    assert not (await plan(writer, request(desired("team", "hard_cap_micros", display_name="B")))).changes


async def test_everything_is_applied_or_nothing(edge: Edge) -> None:
    """One budget that may not be changed keeps the others from being changed, and every refusal is told at once."""
    writer = await edge.client("budgets:write")
    before = await events(edge)
    asked = request(TEAM, desired("spending", display_name="Mine"), desired("credits", display_name="Mine too"))
    shown = await plan(writer, asked)
    assert warned(shown) == [("NOT_ADOPTED", True), ("NOT_ADOPTED", True)]
    failure = await writer.failure("ApplyCaps", asked)
    assert failure.reason == "APPLY_REFUSED"
    assert failure.facts == {"count": "2"}
    assert refusals(failure) == [("NOT_ADOPTED", "credits"), ("NOT_ADOPTED", "spending")]
    assert await events(edge) == before


async def test_every_violation_is_named_at_once_by_its_place(edge: Edge) -> None:
    """What can be seen in the request; and together, what can only be seen beside what there is."""
    writer = await edge.client("budgets:write")
    bad = request(
        desired("a", unit="usd", hard_cap_micros=-1),
        desired("b", unit="USD", cycle={"time_zone": "Mars/Olympus"}),
        desired("b", unit="USD"),
        desired("c", "managed_by cap_override", unit="USD"),
        manager="",
        max_delete_count=1_001,
        plan_etag="p",
        organization_settings={"organization": {"gates": [{"gate_id": "x"}]}, "update_mask": {"paths": ["gates"]}},
    )
    assert set((await writer.failure("ApplyCaps", bad)).fields) == {
        "budgets[0].budget.unit",
        "budgets[0].budget.hard_cap_micros",
        "budgets[1].budget.cycle.time_zone",
        "budgets[2].budget.name",
        "budgets[3].update_mask.paths[0]",
        "budgets[3].update_mask.paths[1]",
        "manager",
        "max_delete_count",
        "plan_etag",
        "organization_settings.organization.gates[0].label",
        "organization_settings.organization.gates[0].pattern",
    }
    bad = request(desired("new", display_name="x"), desired("spending", unit="EUR"), desired("other", display_name="y"))
    assert (await writer.failure("ApplyCaps", bad)).fields == [
        "budgets[0].budget.unit",
        "budgets[2].budget.unit",
        "budgets[1].budget.unit",
    ]


async def test_a_thousand_budgets_are_the_most(edge: Edge) -> None:
    many = [desired(f"b{number}", unit="USD") for number in range(1_001)]
    assert (await edge.platform.failure("ApplyCaps", request(*many))).fields == ["budgets"]
    failure = await edge.platform.failure("ApplyCaps", request(*many[:999]))
    assert (failure.reason, failure.facts["limit"]) == ("LIMIT_EXCEEDED", "1000")
    done = await applied(edge.platform, request(*many[:998]))
    assert len(done.changes) == 998
    assert not (await plan(edge.platform, request(*many[:998]))).changes


# Ownership


async def test_what_is_as_desired_and_nobody_keeps_is_no_change_until_it_is_adopted(edge: Edge) -> None:
    """So that an export plans nothing. With `adopt` the manager takes it over, and nothing else changes."""
    asked = request(desired("spending", unit="USD", display_name="Spending"))
    assert not (await plan(edge.platform, asked)).changes
    asked.adopt = True
    done = await applied(edge.platform, asked)
    assert told(done) == {"spending": (ADOPT, {"managed_by": ("", "yaml:caps")})}
    assert not (await plan(edge.platform, asked)).changes


async def test_what_another_manager_keeps_is_taken_over_by_force_alone(edge: Edge) -> None:
    await applied(edge.platform, request(TEAM, manager="terraform"))
    asked = request(TEAM, adopt=True)
    assert warned(await plan(edge.platform, asked)) == [("MANAGED_ELSEWHERE", True)]
    assert refusals(await edge.platform.failure("ApplyCaps", asked)) == [("MANAGED_ELSEWHERE", "team")]
    asked.override_manager = True
    done = await applied(edge.platform, asked)
    assert told(done) == {"team": (ADOPT, {"managed_by": ("terraform", "yaml:caps")})}
    assert warned(done) == [("MANAGED_ELSEWHERE", False)]


async def test_prune_deletes_only_what_this_manager_keeps(edge: Edge) -> None:
    """Without `prune` it is told as an orphan; the default budgets, and another manager's, stay."""
    await applied(edge.platform, request(TEAM, desired("old", unit="USD")))
    await applied(edge.platform, request(desired("theirs", unit="USD"), manager="terraform"))
    shown = await plan(edge.platform, request(TEAM))
    assert not shown.changes
    assert list(shown.orphans) == [f"{ACME}/budgets/old"]
    done = await applied(edge.platform, request(TEAM, prune=True))
    assert told(done) == {"old": (DELETE, {"unit": ("USD", None), "managed_by": ("yaml:caps", None)})}
    assert not done.orphans
    assert not done.changes[0].etag
    listed = await edge.platform.call("ListBudgets", pb.ListBudgetsRequest(parent=ACME))
    assert [each.name.rpartition("/")[2] for each in listed.budgets] == ["credits", "spending", "team", "theirs"]


@pytest.mark.parametrize(("limit", "count", "is_refused"), [(None, 11, True), (None, 10, False), (1, 2, True)])
async def test_more_deletes_than_are_allowed_are_refused(
    edge: Edge, limit: int | None, count: int, is_refused: bool
) -> None:
    await applied(edge.platform, request(*(desired(f"b{number}", unit="USD") for number in range(count))))
    asked = request(prune=True, max_delete_count=limit)
    shown = await plan(edge.platform, asked)
    assert warned(shown) == [("TOO_MANY_DELETES", True)] * (count if is_refused else 0)
    if is_refused:
        assert (await edge.platform.failure("ApplyCaps", asked)).facts == {"count": str(count)}
    else:
        assert len((await applied(edge.platform, asked)).changes) == count


# Guard rails


@pytest.mark.parametrize(
    ("asked", "reason", "flag"),
    [
        (desired("team", hard_cap_micros=2 * UNIT), "CAP_BELOW_SPEND", "allow_cap_below_spend"),
        (desired("team", "hard_cap_micros"), "HARD_CAP_REMOVED", "allow_removing_hard_cap"),
        (desired("team", hard_cap_enabled=False), "HARD_CAP_REMOVED", "allow_removing_hard_cap"),
        (desired("team", enforcement=2), "HARD_CAP_REMOVED", "allow_removing_hard_cap"),
        (desired("new", unit="USD", allotment_micros=UNIT), "CAP_BELOW_SPEND", "allow_cap_below_spend"),
    ],
)
async def test_a_change_that_hurts_is_refused_until_its_flag_says_otherwise(
    edge: Edge, asked: dict[str, Any], reason: str, flag: str
) -> None:
    """The warning is in every plan; with its flag it no longer refuses."""
    team = desired("team", unit="USD", hard_cap_micros=5 * UNIT, hard_cap_enabled=True)
    await applied(edge.platform, request(team))
    await spend(edge, 3 * UNIT)
    wanted = request(asked)
    assert warned(await plan(edge.platform, wanted)) == [(reason, True)]
    assert (await edge.platform.failure("ApplyCaps", wanted)).reason == "APPLY_REFUSED"
    setattr(wanted, flag, True)
    assert warned(await applied(edge.platform, wanted)) == [(reason, False)]


async def test_held_amounts_count_as_spend_does(edge: Edge) -> None:
    await applied(edge.platform, request(desired("team", unit="USD", hard_cap_micros=5 * UNIT, hard_cap_enabled=True)))
    await edge.platform.call("CheckSpend", pb.CheckSpendRequest(organization=ACME, unit="USD", amount_micros=3 * UNIT))
    shown = await plan(edge.platform, request(desired("team", hard_cap_micros=3 * UNIT - 1)))
    assert dict(shown.changes[0].warnings[0].metadata) == {
        "limit_micros": "2999999",
        "spent_micros": "0",
        "reserved_micros": "3000000",
    }
    assert not warned(await plan(edge.platform, request(desired("team", hard_cap_micros=3 * UNIT))))


async def test_a_cap_that_is_raised_is_never_refused(edge: Edge) -> None:
    """Though it still is below what was spent."""
    await applied(edge.platform, request(desired("team", unit="USD", hard_cap_micros=UNIT, hard_cap_enabled=True)))
    await spend(edge, 3 * UNIT)
    assert not warned(await applied(edge.platform, request(desired("team", hard_cap_micros=2 * UNIT))))


async def test_a_budget_in_use_is_deleted_by_its_flag_alone(edge: Edge) -> None:
    await applied(edge.platform, request(TEAM, desired("all", unit="USD")))
    await spend(edge, UNIT)
    asked = request(TEAM, prune=True)
    shown = await plan(edge.platform, asked)
    assert warned(shown) == [("BUDGET_IN_USE", True)]
    assert refusals(await edge.platform.failure("ApplyCaps", asked)) == [("BUDGET_IN_USE", "all")]
    asked.allow_deleting_in_use = True
    assert told(await applied(edge.platform, asked))["all"][0] == DELETE


async def test_another_selector_is_told_to_count_anew(edge: Edge) -> None:
    """And the new limit is held against what it then counts."""
    await applied(edge.platform, request(TEAM))
    await spend(edge, 6 * UNIT)
    assert warned(await plan(edge.platform, request(desired("team", "selector")))) == [
        ("CAP_BELOW_SPEND", True),
        ("RECOUNTED", False),
    ]


# Etags and repeats


async def test_a_plan_that_was_shown_is_applied_as_it_was_shown_or_not_at_all(edge: Edge) -> None:
    """The refusal names what moved and who moved it; what does not touch the plan does not hinder it."""
    await applied(edge.platform, request(TEAM))
    asked = request(desired("team", hard_cap_micros=7 * UNIT))
    asked.plan_etag = (await plan(edge.platform, asked)).plan_etag
    other = pb.UpdateBudgetRequest(budget={"name": f"{ACME}/budgets/credits", "display_name": "C"})
    await edge.platform.call("UpdateBudget", other)
    assert (await plan(edge.platform, asked)).changes
    mover = await edge.client("budgets:write")
    moved = pb.UpdateBudgetRequest(
        budget={"name": f"{ACME}/budgets/team", "hard_cap_micros": 6 * UNIT}, override_manager=True
    )
    await mover.call("UpdateBudget", moved)
    failure = await edge.platform.failure("ApplyCaps", asked)
    assert failure.reason == "ETAG_MISMATCH"
    assert failure.facts["moved"].startswith(f"{ACME}/budgets/team,")
    assert failure.message.startswith(f"{ACME}/budgets/team was changed by {ACME}/apiKeys/")
    asked = request(
        desired("team", hard_cap_micros=9 * UNIT), plan_etag=(await plan(edge.platform, request(TEAM))).plan_etag
    )
    assert (await edge.platform.failure("ApplyCaps", asked)).facts == {"moved": ""}


async def test_leave_that_is_given_later_applies_the_same_plan(edge: Edge) -> None:
    """A plan is shown, the flag that it asks for is added, and it still is the plan that was shown."""
    await applied(edge.platform, request(TEAM))
    asked = request(desired("team", "hard_cap_micros"))
    asked.plan_etag = (await plan(edge.platform, asked)).plan_etag
    asked.allow_removing_hard_cap = True
    assert told(await applied(edge.platform, asked))["team"][0] == UPDATE


@pytest.mark.parametrize("field", ["budgets", "organization_settings"])
async def test_an_old_etag_of_a_resource_is_refused(edge: Edge, field: str) -> None:
    await applied(edge.platform, request(TEAM))
    asked = request(desired("team", etag="r1", display_name="x"))
    if field == "organization_settings":
        asked = request(organization_settings={"organization": {"etag": "r1", "display_name": "x"}})
    failure = await edge.platform.failure("ApplyCaps", asked)
    assert failure.reason == "ETAG_MISMATCH"
    assert failure.facts["moved"] == (ACME if field == "organization_settings" else f"{ACME}/budgets/team")


async def test_a_request_id_makes_a_retry_safe(edge: Edge) -> None:
    """The same answer and one effect; with other content it is refused."""
    asked = request(TEAM, request_id="apply-1")
    first = await applied(edge.platform, asked)
    before = await events(edge)
    assert await applied(edge.platform, asked) == first
    assert await events(edge) == before
    other = await edge.platform.failure("ApplyCaps", request(TEAM, adopt=True, request_id="apply-1"))
    assert (other.reason, other.facts["field"]) == ("REQUEST_ID_REUSED", "adopt")


# Organizations


async def test_an_organization_is_created_with_its_budgets_in_one_go(edge: Edge) -> None:
    """With what every organization is born with, in the state that is asked for; then there is nothing to do."""
    new = "organizations/new"
    asked = request(
        desired("spending", organization=new, budget_micros=UNIT),
        desired("team", organization=new, unit="USD"),
        organization=new,
        organization_settings={
            "organization": {"display_name": "New", "gates": [{"gate_id": "g", "label": "model", "pattern": "m"}]},
        },
        request_id="make",
    )
    missing = await edge.platform.failure("ApplyCaps", asked)
    assert (missing.reason, missing.facts["resource"]) == ("NOT_FOUND", new)
    asked.allow_missing = True
    shown = await plan(edge.platform, asked)
    assert list(shown.required_scopes) == ["admin", "budgets:write"]
    asked.plan_etag = shown.plan_etag
    done = await applied(edge.platform, asked)
    assert [change.resource for change in done.changes] == [new] + [
        f"{new}/budgets/{budget_id}" for budget_id in ("credits", "spending", "team")
    ]
    assert {change.type for change in done.changes} == {CREATE}
    assert await applied(edge.platform, asked) == done
    asked.plan_etag = ""
    assert not (await plan(edge.platform, asked)).changes
    made = await edge.platform.call("GetOrganization", admin.GetOrganizationRequest(name=new))
    assert ([gate.gate_id for gate in made.gates], made.managed_by) == (["g"], "yaml:caps")
    created = await events(edge, organization=new)
    assert [event.action for event in created] == ["budget.created"] * 3 + ["organization.created"]
    await edge.platform.call("DeleteOrganization", admin.DeleteOrganizationRequest(name=new, manager="yaml:caps"))
    asked.request_id = ""
    assert (await edge.platform.failure("ApplyCaps", asked)).reason == "ALREADY_EXISTS"


async def test_the_settings_of_an_organization_are_kept_like_a_budget(edge: Edge) -> None:
    """Adopted, changed, named first."""
    gates = [{"gate_id": "b", "label": "model", "pattern": "m*"}, {"gate_id": "a", "label": "model", "pattern": "n"}]
    asked = request(TEAM, organization_settings={"organization": {"gates": gates, "display_name": "Acme"}})
    assert warned(await plan(edge.platform, asked)) == [("NOT_ADOPTED", True)]
    asked.adopt = True
    done = await applied(edge.platform, asked)
    assert [(change.resource, change.type) for change in done.changes] == [
        (ACME, ADOPT),
        (f"{ACME}/budgets/team", CREATE),
    ]
    assert not (await plan(edge.platform, asked)).changes
    found = await edge.platform.call("GetOrganization", admin.GetOrganizationRequest(name=ACME))
    assert (found.etag, found.display_name) == (done.changes[0].etag, "Acme")


# Scopes


@pytest.mark.parametrize(
    ("scope", "kind", "required"),
    [
        ("budgets:read", "update", "budgets:write,control:read"),
        ("control:read", "update", ""),
        ("budgets:write", "update", ""),
        ("control:read", "create", "budgets:write"),
        ("control:read", "delete", "budgets:write"),
        ("control:read", "create and update", "budgets:write"),
        ("budgets:write", "allotment", "admin"),
        ("budgets:write", "organization", "admin"),
    ],
)
async def test_a_change_takes_the_scope_that_its_own_method_takes(
    edge: Edge, scope: str, kind: str, required: str
) -> None:
    """Every key that may read budgets may plan it, and the plan says what applying it takes."""
    await applied(edge.platform, request(TEAM))
    asked = {
        "update": request(desired("team", display_name="x")),
        "create": request(TEAM, desired("new", unit="USD")),
        "create and update": request(desired("team", display_name="x"), desired("new", unit="USD")),
        "delete": request(prune=True),
        "allotment": request(desired("team", allotment_micros=1)),
        "organization": request(TEAM, adopt=True, organization_settings={"organization": {"display_name": "x"}}),
    }[kind]
    client = await edge.client(scope)
    before = await events(edge)
    assert list((await plan(client, asked)).required_scopes) == [required or "budgets:write,control:read"]
    if required:
        failure = await client.failure("ApplyCaps", asked)
        assert (failure.reason, failure.facts) == ("MISSING_SCOPE", {"required_scope": required})
        assert await events(edge) == before
    else:
        assert (await applied(client, asked)).changes


# Who moved


async def test_drift_names_who_moved_each_field(edge: Edge) -> None:
    """Each field by its own last change, with what was last applied; what only the code changed names nobody."""
    tool = await edge.client("budgets:write")
    tool.more = [("outlay-source", "yaml")]
    await applied(
        tool, request(desired("team", unit="USD", hard_cap_micros=5 * UNIT, display_name="A", budget_micros=1))
    )
    assert {event.source for event in await events(edge, f"{ACME}/budgets/team")} == {"yaml"}
    people = [await edge.client("budgets:write"), await edge.client("budgets:write")]
    for person, values in zip(people, ({"hard_cap_micros": 9 * UNIT}, {"display_name": "B"}), strict=True):
        changed = pb.UpdateBudgetRequest(budget={"name": f"{ACME}/budgets/team", **values}, override_manager=True)
        await person.call("UpdateBudget", changed)
    by_name, by_cap = (await events(edge, f"{ACME}/budgets/team"))[:2]

    shown = await plan(tool, request(desired("team", hard_cap_micros=6 * UNIT, display_name="A", budget_micros=2)))
    (change,) = shown.changes
    fields = {field.path: field for field in change.fields}
    assert change.outside_change.audit_event == by_name.name
    assert fields["hard_cap_micros"].outside_change.audit_event == by_cap.name
    assert fields["hard_cap_micros"].outside_change.actor == by_cap.actor
    assert fields["hard_cap_micros"].outside_change.source == "grpc"
    assert plain(fields["hard_cap_micros"].last_applied) == "5000000"
    assert fields["display_name"].outside_change.actor == by_name.actor != by_cap.actor
    assert not fields["budget_micros"].HasField("outside_change")

    await applied(tool, request(desired("team", hard_cap_micros=6 * UNIT, display_name="A", budget_micros=2)))
    later = await plan(tool, request(desired("team", hard_cap_micros=7 * UNIT)))
    assert not later.changes[0].HasField("outside_change")


async def test_a_budget_that_somebody_deleted_is_created_again_and_names_them(edge: Edge) -> None:
    """One that its own manager pruned names nobody."""
    await applied(edge.platform, request(TEAM))
    gone = pb.DeleteBudgetRequest(name=f"{ACME}/budgets/team", override_manager=True)
    await edge.platform.call("DeleteBudget", gone)
    (change,) = (await plan(edge.platform, request(TEAM))).changes
    assert (change.type, change.outside_change.actor) == (CREATE, "platform")
    await applied(edge.platform, request(TEAM))
    await applied(edge.platform, request(prune=True))
    (change,) = (await plan(edge.platform, request(TEAM))).changes
    assert not change.HasField("outside_change")


async def test_a_gate_that_was_switched_with_a_budget_names_who_did(edge: Edge) -> None:
    """The event is the budget's, as the usage face writes it."""
    asked = request(
        adopt=True,
        organization_settings={"organization": {"gates": [{"gate_id": "g", "label": "model", "pattern": "m"}]}},
    )
    await applied(edge.platform, asked)
    flip = pb.UpdateBudgetRequest(budget={"name": f"{ACME}/budgets/credits"}, gates={"g": True})
    owner = await edge.client("control:read")
    await owner.call("UpdateBudget", flip)
    ((field,),) = ([*change.fields] for change in (await plan(edge.platform, asked)).changes)
    assert field.path == "gates"
    assert field.outside_change.actor.startswith(f"{ACME}/apiKeys/")


async def test_a_temporary_cap_outlasts_an_apply(edge: Edge) -> None:
    """It is set in an incident, past the code, and the code does not undo it."""
    await applied(edge.platform, request(TEAM))
    override = pb.UpdateBudgetRequest(
        budget={"name": f"{ACME}/budgets/team", "cap_override": {"hard_cap_micros": 9 * UNIT}}, override_manager=True
    )
    await edge.platform.call("UpdateBudget", override)
    assert not (await plan(edge.platform, request(TEAM))).changes
    await applied(edge.platform, request(desired("team", display_name="x")))
    assert (await budget(edge, "team")).cap_override.hard_cap_micros == 9 * UNIT


async def test_names_of_another_organization_are_not_found(edge: Edge) -> None:
    """As one that is not there, for the platform's key too: a request is about one organization."""
    await edge.organization("other")
    writer = await edge.client("budgets:write")
    for organization in ("organizations/other", "organizations/ghost"):
        asked = request(desired("x", organization=organization, unit="USD"))
        for client in (writer, edge.platform):
            assert (await client.failure("ApplyCaps", asked)).reason == "NOT_FOUND"
