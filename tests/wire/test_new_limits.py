"""A limit that UpdateBudget has answered binds the very next check, at whichever replica."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_pb2, organization_pb2
from outlay.v1 import budget_service_pb2 as pb
from support.replicas import Replicas
from support.tenants import Tenant, new_tenant
from support.wire import Caller

CENT = 10_000


@pytest.mark.parametrize(
    "rounds",
    [200, pytest.param(10_000, marks=[pytest.mark.deep, pytest.mark.timeout(3_600)])],
)
def test_each_new_cap_is_obeyed_by_the_next_check_elsewhere(rounds: int, replicas: Replicas) -> None:
    """Set at A, checked at B: alternately a cent more and a cent less than fits, never an answer by the old cap."""
    a, b = replicas.admin(0), replicas.admin(1)
    tenant = Tenant(a, new_tenant(a).organization_id)
    stale = []
    for number in range(rounds):
        allows = number % 2 == 0
        cap = (number + 2) * CENT if allows else (number + 1) * CENT
        a.call("UpdateBudget", tenant.cap_request(cap))
        check = tenant.check(cap if allows else cap + 1, mode=pb.CHECK_MODE_CHECK_ONLY)
        answer = b.call("CheckSpend", check)
        if (answer.decision == pb.DECISION_ALLOWED) != allows or answer.affordable_micros != cap:
            stale.append((number, cap, answer))
    assert stale == []


def test_every_other_setting_binds_the_next_check_elsewhere_too(replicas: Replicas) -> None:
    """Freeze, thaw, shadow, gates, selectors, a new budget, a deleted one, an override: set at A, obeyed at B."""
    a, b = replicas.admin(0), replicas.admin(1)
    tenant = new_tenant(a)
    name = tenant.child("budgets", "spending")

    def decide(**settings: object) -> str:
        check = tenant.check(CENT, mode=pb.CHECK_MODE_CHECK_ONLY, labels={"model": "claude-opus-4"}, **settings)
        answer = b.call("CheckSpend", check)
        return pb.DenialReason.Name(answer.reason).removeprefix("DENIAL_REASON_")

    def update(paths: list[str], **settings: object) -> None:
        budget = budget_pb2.Budget(name=name, **settings)
        a.call("UpdateBudget", pb.UpdateBudgetRequest(budget=budget, update_mask=FieldMask(paths=paths)))

    for _ in range(3):
        assert decide() == "GATE_DISABLED"
        a.call("UpdateBudget", pb.UpdateBudgetRequest(budget=budget_pb2.Budget(name=name), gates={"opus": True}))
        assert decide() == "UNSPECIFIED"
        update(["enforcement"], enforcement=budget_pb2.ENFORCEMENT_FREEZE)
        assert decide() == "FROZEN"
        update(["enforcement", "hard_cap_micros", "hard_cap_enabled"], hard_cap_micros=1, hard_cap_enabled=True)
        assert decide() == "HARD_CAP_REACHED"
        update(["enforcement"], enforcement=budget_pb2.ENFORCEMENT_SHADOW)
        assert decide() == "UNSPECIFIED"
        update(["enforcement", "allotment_micros"], allotment_micros=0)
        assert decide() == "HARD_CAP_REACHED"
        update(["hard_cap_micros"])
        assert decide() == "ALLOTMENT_EXHAUSTED"
        update(["allotment_micros", "selector", "hard_cap_micros"], selector={"model": "gpt-*"}, hard_cap_micros=0)
        assert decide() == "UNSPECIFIED"
        update(["selector"])
        assert decide() == "HARD_CAP_REACHED"
        update(["cap_override"], cap_override=budget_pb2.CapOverride(hard_cap_micros=CENT, reason="today"))
        assert decide() == "UNSPECIFIED"
        update(["cap_override", "hard_cap_micros"])
        assert decide() == "UNSPECIFIED"
        tenant.create_budget("second", unit="USD", hard_cap_micros=0, hard_cap_enabled=True)
        assert decide() == "HARD_CAP_REACHED"
        a.call("DeleteBudget", pb.DeleteBudgetRequest(name=tenant.child("budgets", "second")))
        assert decide() == "UNSPECIFIED"
        gate = organization_pb2.Gate(gate_id="opus", label="model", pattern="claude-*")
        a.call(
            "UpdateOrganization",
            admin_pb.UpdateOrganizationRequest(
                organization=organization_pb2.Organization(name=tenant.name, gates=[gate]),
                update_mask=FieldMask(paths=["gates"]),
            ),
        )


def test_spend_at_one_replica_is_counted_by_the_next_check_at_the_other(replicas: Replicas) -> None:
    """Recorded at A, then B has exactly so much less: 50 times, the two taking turns."""
    tenant = new_tenant(replicas.admin())
    tenant.cap(100 * CENT)
    ends: list[Caller] = [replicas.admin(0), replicas.admin(1)]
    for number in range(50):
        a, b = ends[number % 2], ends[(number + 1) % 2]
        a.call("RecordSpend", tenant.record(CENT))
        answer = b.call("CheckSpend", tenant.check(0, mode=pb.CHECK_MODE_CHECK_ONLY, view=pb.CHECK_VIEW_FULL))
        (verdict,) = answer.budgets
        assert (verdict.spent_micros, verdict.available_micros) == ((number + 1) * CENT, (99 - number) * CENT)
