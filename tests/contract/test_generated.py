"""`gen/` is what `proto/` gives, and the names that scripts rely on are in it."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]

FILES = [
    "admin_service",
    "alert",
    "api_key",
    "audit_event",
    "budget",
    "budget_service",
    "caps",
    "delivery",
    "error_reason",
    "organization",
    "reservation",
    "spend_record",
    "webhook_endpoint",
]


@pytest.mark.timeout(600)
def test_gen_is_fresh():
    """Generating again changes no byte. The first run installs the generator's environment."""
    run = subprocess.run(
        [sys.executable, ROOT / "scripts/gen.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_descriptors_carry_imports_and_comments():
    """The descriptor set is whole: every file, what it imports, and the comments that the reference is made of."""
    descriptors = pb.FileDescriptorSet.FromString((ROOT / "gen/outlay/v1/descriptors.binpb").read_bytes())
    files = {file.name: file for file in descriptors.file}
    missing = {name for file in descriptors.file for name in file.dependency} - files.keys()
    own = [file for file in descriptors.file if file.package == "outlay.v1"]
    assert missing == set()
    assert sorted(file.name for file in own) == [f"outlay/v1/{name}.proto" for name in FILES]
    assert all(file.source_code_info.location for file in own)


def test_enums_have_the_names_that_scripts_rely_on():
    """Values of the contract's enums, in order."""
    from outlay.v1 import budget_service_pb2, error_reason_pb2

    assert budget_service_pb2.Decision.keys() == ["DECISION_UNSPECIFIED", "DECISION_ALLOWED", "DECISION_DENIED"]
    assert budget_service_pb2.CheckMode.keys() == [
        "CHECK_MODE_UNSPECIFIED",
        "CHECK_MODE_RESERVE",
        "CHECK_MODE_CHECK_ONLY",
        "CHECK_MODE_RECORD",
    ]
    # The order is the order in which reasons take precedence.
    assert budget_service_pb2.DenialReason.keys() == [
        "DENIAL_REASON_UNSPECIFIED",
        "DENIAL_REASON_GATE_DISABLED",
        "DENIAL_REASON_FROZEN",
        "DENIAL_REASON_HARD_CAP_REACHED",
        "DENIAL_REASON_ALLOTMENT_EXHAUSTED",
        "DENIAL_REASON_HELD_BY_RESERVATIONS",
    ]
    assert "ERROR_REASON_REQUEST_ID_REUSED" in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118, an enum is no mapping


def test_an_absent_limit_is_not_a_limit_of_nothing():
    """Every field that the contract marks `?` knows whether it was set."""
    from outlay.v1 import budget_pb2, budget_service_pb2

    def optional(message: type, *names: str) -> list[bool]:
        return [message.DESCRIPTOR.fields_by_name[name].has_presence for name in names]

    assert all(
        optional(
            budget_pb2.Budget,
            "budget_micros",
            "hard_cap_micros",
            "allotment_micros",
            "alert_thresholds",
            "cap_override",
        )
        + optional(budget_pb2.BudgetSpend, "available_micros", "percent_used", "projected_exhaustion_time")
        + optional(budget_service_pb2.CheckSpendRequest, "min_amount_micros")
        + optional(budget_service_pb2.CheckSpendResponse, "affordable_micros")
    )
