"""The API keeps the AIPs, and the check that says so can fail."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from google.api import annotations_pb2, field_behavior_pb2, resource_pb2
from google.protobuf import descriptor_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]


def load_check() -> ModuleType:
    """Import the script, which stands in no package."""
    spec = importlib.util.spec_from_file_location("check_aip", ROOT / "scripts/check_aip.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up by name.
    sys.modules["check_aip"] = module
    spec.loader.exec_module(module)
    return module


check_aip = load_check()


@pytest.fixture
def descriptors() -> pb.FileDescriptorSet:
    """A copy of the API, to be broken."""
    return pb.FileDescriptorSet.FromString(check_aip.DESCRIPTORS.read_bytes())


def file(descriptors: pb.FileDescriptorSet, name: str) -> pb.FileDescriptorProto:
    return next(file for file in descriptors.file if file.name == f"outlay/v1/{name}.proto")


def message(descriptors: pb.FileDescriptorSet, name: str) -> pb.DescriptorProto:
    files = (file for file in descriptors.file if file.package == "outlay.v1")
    return next(message for file in files for message in file.message_type if message.name == name)


def field(descriptors: pb.FileDescriptorSet, message_name: str, name: str) -> pb.FieldDescriptorProto:
    return next(field for field in message(descriptors, message_name).field if field.name == name)


def method(descriptors: pb.FileDescriptorSet, name: str) -> pb.MethodDescriptorProto:
    files = (file for file in descriptors.file if file.package == "outlay.v1")
    methods = (method for file in files for service in file.service for method in service.method)
    return next(method for method in methods if method.name == name)


def drop_comment(descriptors: pb.FileDescriptorSet, file_name: str, path: list[int]) -> None:
    for location in file(descriptors, file_name).source_code_info.location:
        if list(location.path) == path:
            location.leading_comments = ""


def test_the_api_keeps_the_aips(descriptors: pb.FileDescriptorSet):
    """No complaint about the API as it is."""
    assert check_aip.complaints(descriptors) == []


Break = Callable[[pb.FileDescriptorSet], object]

BREAKS: dict[str, tuple[Break, str]] = {
    "resource without type": (
        lambda api: setattr(message(api, "Alert").options.Extensions[resource_pb2.resource], "type", "Alert"),
        "Alert: the resource's type is 'Alert', not outlay.dev/Alert",
    ),
    "resource without a name": (
        lambda api: setattr(field(api, "Budget", "name"), "name", "title"),
        "Budget: field 1 is not `name` with the behaviour IDENTIFIER",
    ),
    "reference to nothing": (
        lambda api: setattr(
            field(api, "Alert", "budget").options.Extensions[resource_pb2.resource_reference], "type", "outlay.dev/B"
        ),
        "Alert.budget: refers to outlay.dev/B, which is no resource",
    ),
    "no http rule": (
        lambda api: method(api, "CheckSpend").options.ClearExtension(annotations_pb2.http),
        "CheckSpend: no google.api.http rule",
    ),
    "path variable that is no field": (
        lambda api: setattr(
            method(api, "GetBudget").options.Extensions[annotations_pb2.http], "get", "/v1/{id=organizations/*}"
        ),
        "GetBudget: id of the HTTP rule is no field of GetBudgetRequest",
    ),
    "get by another verb": (
        lambda api: setattr(
            method(api, "GetBudget").options.Extensions[annotations_pb2.http],
            "post",
            "/v1/{name=organizations/*/budgets/*}",
        ),
        "GetBudget: is not GET answering Budget (AIP-131)",
    ),
    "list without items": (
        lambda api: setattr(field(api, "ListAlertsResponse", "alerts"), "name", "items"),
        "ListAlerts: the response has no repeated alerts (AIP-132)",
    ),
    "create without an id": (
        lambda api: setattr(field(api, "CreateBudgetRequest", "budget_id"), "name", "identifier"),
        "CreateBudget: the request has no budget_id (AIP-133)",
    ),
    "update without a mask": (
        lambda api: setattr(field(api, "UpdateBudgetRequest", "update_mask"), "name", "fields"),
        "UpdateBudget: the request has no update_mask (AIP-134)",
    ),
    "resource without etag": (
        lambda api: setattr(field(api, "Organization", "etag"), "name", "version"),
        "Organization: can be updated and has no etag (AIP-154)",
    ),
    "delete that answers": (
        lambda api: setattr(method(api, "DeleteBudget"), "output_type", ".outlay.v1.Budget"),
        "DeleteBudget: is not DELETE answering Empty (AIP-135)",
    ),
    "custom method without a verb": (
        lambda api: setattr(
            method(api, "RevokeApiKey").options.Extensions[annotations_pb2.http],
            "post",
            "/v1/{name=organizations/*/apiKeys/*}",
        ),
        "RevokeApiKey: a custom method's URI ends in :verb (AIP-136)",
    ),
    "list without pages": (
        lambda api: setattr(field(api, "ListBudgetsRequest", "page_token"), "name", "cursor"),
        "ListBudgets: the request has no page_token (AIP-158)",
    ),
    "change without request_id": (
        lambda api: setattr(field(api, "ReleaseReservationRequest", "request_id"), "name", "nonce"),
        "ReleaseReservation: changes something and takes no request_id (AIP-155)",
    ),
    "batch without request_id in its items": (
        lambda api: setattr(field(api, "CheckSpendRequest", "request_id"), "name", "nonce"),
        "BatchCheckSpend: changes something and takes no request_id (AIP-155)",
    ),
    "enum that begins with a meaning": (
        lambda api: setattr(file(api, "alert").enum_type[0].value[0], "name", "ALERT_BASIS_NONE"),
        "AlertBasis: value 0 is not ALERT_BASIS_UNSPECIFIED (AIP-126)",
    ),
    "enum value without prefix": (
        lambda api: setattr(file(api, "alert").enum_type[0].value[1], "name", "BUDGET"),
        "AlertBasis: BUDGET lacks the prefix ALERT_BASIS_",
    ),
    "field without behaviour": (
        lambda api: field(api, "Budget", "unit").options.ClearExtension(field_behavior_pb2.field_behavior),
        "Budget.unit: no field_behavior (AIP-203)",
    ),
    "quantity without unit": (
        lambda api: setattr(field(api, "BudgetSpend", "spent_micros"), "name", "spent"),
        "BudgetSpend.spent: a number whose name does not end in its unit",
    ),
    "amount that is a float": (
        lambda api: setattr(field(api, "BudgetSpend", "spent_micros"), "type", pb.FieldDescriptorProto.TYPE_DOUBLE),
        "BudgetSpend.spent_micros: an amount is never a float",
    ),
    "instant without _time": (
        lambda api: setattr(field(api, "Alert", "create_time"), "name", "created"),
        "Alert.created: an instant whose name does not end in _time (AIP-142)",
    ),
    "message without comment": (
        lambda api: drop_comment(api, "alert", [4, 0]),
        "outlay/v1/alert.proto: Alert has no comment (AIP-192)",
    ),
    "enum value without comment": (
        lambda api: drop_comment(api, "alert", [5, 0, 2, 1]),
        "outlay/v1/alert.proto: ALERT_BASIS_BUDGET has no comment (AIP-192)",
    ),
    "rpc that does not say what an outage means": (
        lambda api: drop_comment(api, "budget_service", [6, 0, 2, 0]),
        "GetBudget: the comment does not say 'When unreachable:'",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_api_is_complained_about(name: str, descriptors: pb.FileDescriptorSet):
    """Each rule says what is wrong where one thing was broken."""
    break_it, complaint = BREAKS[name]
    break_it(descriptors)
    assert complaint in check_aip.complaints(descriptors)


def test_every_rule_has_been_seen_to_fail(descriptors: pb.FileDescriptorSet):
    """A rule that no break above trips would be a rule that nobody has seen work."""
    tripped = set()
    for break_it, _ in BREAKS.values():
        broken = pb.FileDescriptorSet()
        broken.CopyFrom(descriptors)
        break_it(broken)
        api = check_aip.Api(broken)
        tripped |= {rule.__name__ for rule in check_aip.RULES if any(rule(api))}
    assert tripped == {rule.__name__ for rule in check_aip.RULES}


def test_an_empty_set_is_no_api():
    """Descriptors without our package are a mistake of the caller, not an API without faults."""
    assert check_aip.complaints(pb.FileDescriptorSet()) == ["no service of outlay.v1 in the descriptors"]
