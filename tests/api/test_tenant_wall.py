"""The wall between organizations: another's object and one that is not there are answered byte for byte alike.

Every RPC by every field that holds a name, both from the descriptors.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from google.api import resource_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from api.edge import Client, Edge
from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import budget_service_pb2 as pb
from outlay_server.api.dispatcher import SERVICES
from outlay_server.api.permissions import PERMISSIONS, Reach
from outlay_server.domain.api_key import ORGANIZATION_SCOPES
from outlay_server.store import outbox

OTHER, GHOST = "other", "ghost"
"""Names of one length, so that answers differ in nothing else: one organization is there, the other is not."""

FILLED: dict[str, dict[str, Any]] = {
    "CreateBudget": {"budget_id": "mine", "budget": {"unit": "USD"}},
    "CheckSpend": {"unit": "USD", "amount_micros": 1},
    "BatchCheckSpend": {"requests": [{"unit": "USD", "amount_micros": 1}]},
    "RecordSpend": {"unit": "USD", "amount_micros": 1, "request_id": "r"},
    "BatchRecordSpend": {"requests": [{"unit": "USD", "amount_micros": 1, "request_id": "r"}]},
    "RefundSpend": {"request_id": "r", "spend_record": "organizations/-/spendRecords/{SpendRecord}"},
    "QuerySpend": {"unit": "USD", "start_time": {"seconds": 0}, "end_time": {"seconds": 60}},
    "ApplyCaps": {"manager": "yaml:caps"},
    "ListAlerts": {"parent": "organizations/acme"},
    "CreateWebhookEndpoint": {"webhook_endpoint_id": "mine", "webhook_endpoint": {"uri": "https://example.com/"}},
}
"""What a request needs beside the name in question."""


def name_fields(message: Descriptor, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The paths of fields that hold a name, each with the kind of what is named."""
    for field in message.fields:
        reference = field.GetOptions().Extensions[resource_pb2.resource_reference]
        if reference.type:
            yield prefix + field.name, reference.type.removeprefix("outlay.dev/")
        elif reference.child_type:
            yield prefix + field.name, "Organization"
        elif (
            field.type == FieldDescriptor.TYPE_MESSAGE
            and not prefix
            and field.message_type.GetOptions().HasExtension(resource_pb2.resource)
        ):
            # An update says which resource it means by the resource's own name.
            kind = field.message_type.GetOptions().Extensions[resource_pb2.resource].type
            if message.name.startswith("Update"):
                yield f"{field.name}.name", kind.removeprefix("outlay.dev/")


CASES = [
    pytest.param(method, path, kind, id=f"{method.name}-{path}")
    for service in SERVICES
    for method in service.methods
    for path, kind in name_fields(method.input_type)
]


def names_of(ids: dict[str, str], organization: str) -> dict[str, str]:
    root = f"organizations/{organization}"
    return {
        "Organization": root,
        "Budget": f"{root}/budgets/spending",
        "Reservation": f"{root}/reservations/{ids['Reservation']}",
        "SpendRecord": f"{root}/spendRecords/{ids['SpendRecord']}",
        "ApiKey": f"{root}/apiKeys/{ids['ApiKey']}",
        "WebhookEndpoint": f"{root}/webhookEndpoints/hook",
        "Delivery": f"{root}/webhookEndpoints/hook/deliveries/{ids['Delivery']}",
    }


def request_of(method: MethodDescriptor, path: str, name: str, ids: dict[str, str]) -> Message:
    filled = {
        key: value.format_map(ids) if isinstance(value, str) else value
        for key, value in FILLED.get(method.name, {}).items()
    }
    request = message_factory.GetMessageClass(method.input_type)(**filled)
    target, _, last = path.rpartition(".")
    setattr(getattr(request, target) if target else request, last, name)
    return request


async def resources_of(edge: Edge, organization: str) -> dict[str, str]:
    """Ids of things that are really there."""
    await edge.organization(organization)
    root = f"organizations/{organization}"
    check = await edge.platform.call("CheckSpend", pb.CheckSpendRequest(organization=root, unit="USD", amount_micros=1))
    record = await edge.platform.call(
        "RecordSpend", pb.RecordSpendRequest(organization=root, unit="USD", amount_micros=1, request_id="r")
    )
    keys = admin.CreateApiKeyRequest(parent=root, api_key={"scopes": ["spend:check"]})
    key = await edge.platform.call("CreateApiKey", keys)
    hook = admin.CreateWebhookEndpointRequest(
        parent=root, webhook_endpoint_id="hook", webhook_endpoint={"uri": "https://example.com/"}
    )
    await edge.platform.call("CreateWebhookEndpoint", hook)
    budget = {"name": f"{root}/budgets/spending", "display_name": "Told to the hook"}
    await edge.platform.call("UpdateBudget", pb.UpdateBudgetRequest(budget=budget))
    await edge.store.change(lambda tx: outbox.fan_out(tx.connection, tx.now, 1_000_000))
    listed = admin.ListDeliveriesRequest(parent=f"{root}/webhookEndpoints/hook")
    sent = await edge.platform.call("ListDeliveries", listed)
    names = {
        "Reservation": check.reservation,
        "SpendRecord": record.spend_record.name,
        "ApiKey": key.name,
        "Delivery": sent.deliveries[0].name,
    }
    return {kind: name.rpartition("/")[2] for kind, name in names.items()}


@pytest.mark.parametrize(("method", "path", "kind"), CASES)
async def test_anothers_object_is_answered_as_a_missing_one(
    edge: Edge, method: MethodDescriptor, path: str, kind: str
) -> None:
    ids = await resources_of(edge, OTHER)
    client: Client = await edge.client(*ORGANIZATION_SCOPES)
    real = request_of(method, path, names_of(ids, OTHER)[kind], ids)
    missing = request_of(method, path, names_of(ids, GHOST)[kind], ids)

    theirs, nobodys = await client.failure(method.name, real), await client.failure(method.name, missing)

    code, message, details = nobodys.essence
    expected = (code, message.replace(GHOST, OTHER), details.replace(GHOST.encode(), OTHER.encode()))
    assert theirs.essence == expected
    permission = PERMISSIONS[f"/{method.containing_service.full_name}/{method.name}"]
    assert theirs.reason == ("NOT_FOUND" if permission.reach is Reach.ORGANIZATION else "MISSING_SCOPE")


async def test_nothing_of_the_other_organization_has_changed(edge: Edge) -> None:
    """Every refused call above, in one go, leaves the other's audit as it was."""
    ids = await resources_of(edge, OTHER)
    events = admin.ListAuditEventsRequest(parent=f"organizations/{OTHER}")
    before = await edge.platform.call("ListAuditEvents", events)
    client = await edge.client(*ORGANIZATION_SCOPES)
    for case in CASES:
        method, path, kind = case.values
        await client.failure(method.name, request_of(method, path, names_of(ids, OTHER)[kind], ids))
    assert await edge.platform.call("ListAuditEvents", events) == before


async def test_the_cases_are_not_vacuous(edge: Edge) -> None:
    """The platform's key reaches what the wall hides: the very same requests are not answered NOT_FOUND."""
    ids = await resources_of(edge, OTHER)
    for method_name, request in (
        ("GetBudget", pb.GetBudgetRequest(name=f"organizations/{OTHER}/budgets/spending")),
        ("GetReservation", pb.GetReservationRequest(name=names_of(ids, OTHER)["Reservation"])),
        ("ListSpendRecords", pb.ListSpendRecordsRequest(parent=f"organizations/{OTHER}")),
    ):
        await edge.platform.call(method_name, request)
