"""Another organization's object reads as a missing one, byte for byte: every RPC and every field that can name one.

The fields are found in the descriptors: those that refer to a resource, and the names of resources inside updates.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from support.examples import Examples
from support.snapshot import snapshot_of
from support.tenants import Tenant, new_tenant
from support.wire import METHODS, Caller, Failure

_COLLECTIONS = {
    "outlay.dev/Budget": "budgets",
    "outlay.dev/Reservation": "reservations",
    "outlay.dev/SpendRecord": "spendRecords",
    "outlay.dev/ApiKey": "apiKeys",
    "outlay.dev/WebhookEndpoint": "webhookEndpoints",
    "outlay.dev/Delivery": "webhookEndpoints/hook/deliveries",
}


def naming_fields(message: Descriptor, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Paths of the fields of a request that name a resource, each with the resource's type ("" for any type)."""
    for field in message.fields:
        path = f"{prefix}{field.name}"
        reference = field.GetOptions().Extensions[resource_pb2.resource_reference]
        if reference.type or reference.child_type:
            yield path, reference.type or "outlay.dev/Organization"
        elif field.name == "resource":
            yield path, ""
        elif field.message_type is not None and not _is_map(field) and field.message_type.file.package == "outlay.v1":
            resource = field.message_type.GetOptions().Extensions[resource_pb2.resource]
            if not resource.type:
                yield from naming_fields(field.message_type, f"{path}.")
            elif message.name.startswith("Update"):
                # In a creation the name inside the resource is not read: its parent and its id stand beside it.
                yield f"{path}.name", resource.type


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


CASES = [(name, path, kind) for name, method in METHODS.items() for path, kind in naming_fields(method.input_type)]

FILTERS = {("ListAlerts", "budget"), ("ListAuditEvents", "resource")}


class Town:
    """Two organizations and their objects: who asks, and whose objects are asked for."""

    def __init__(self, admin: Caller) -> None:
        asks, owns = new_tenant(admin, "asks"), new_tenant(admin, "owns")
        while len(asks.name) != len(owns.name):
            # The one has a number of one digit more.
            asks = new_tenant(admin, "asks")
        self.own, self.other = Examples(asks), Examples(owns)
        self.caller = self.own.tenant.caller()
        self._objects = {
            "outlay.dev/Organization": self.other.tenant.name,
            "outlay.dev/Budget": self.other.tenant.child("budgets", "spending"),
            "outlay.dev/Reservation": self.other.reservation(),
            "outlay.dev/SpendRecord": self.other.record(),
            "outlay.dev/ApiKey": self.other.tenant.key(["spend:check"]).name,
            "outlay.dev/WebhookEndpoint": self.other.hook(),
            "outlay.dev/Delivery": self.other.delivery(),
            "": self.other.tenant.child("budgets", "spending"),
        }

    def real(self, kind: str) -> str:
        """The name of an object of the other organization that exists."""
        return self._objects[kind]

    def missing(self, kind: str, *, with_own: bool = True) -> list[str]:
        """Names that nothing has: in an organization that there is not, in the other, and in one's own.

        They are as long as the real ones, so that not even the bytes that frame a text differ.
        """
        nobody = self.other.tenant.name.replace("owns-", "none-")
        if kind == "outlay.dev/Organization":
            return [nobody]
        collection = _COLLECTIONS[kind or "outlay.dev/Budget"]
        chosen = {"budgets": "spendinx", "webhookEndpoints": "hoop"}
        resource_id = chosen.get(collection, str(uuid.uuid4()))
        parents = (nobody, self.other.tenant.name, *((self.own.tenant.name,) if with_own else ()))
        return [f"{parent}/{collection}/{resource_id}" for parent in parents]


@pytest.fixture(scope="module")
def town(admin: Caller) -> Iterator[Town]:
    built = Town(admin)
    yield built
    built.caller.close()


@pytest.mark.parametrize(("name", "path", "kind"), CASES, ids=[f"{name}-{path}" for name, path, _ in CASES])
def test_anothers_object_is_answered_as_a_missing_one(name: str, path: str, kind: str, town: Town) -> None:
    """Code, message, details and trailers are the same once the name that was asked for is taken out of them."""
    before = snapshot_of(town.other.tenant.admin, town.other.tenant.name)
    request = town.own.request(name)
    # A filter by something of one's own that is gone still finds what was written about it.
    missing = town.missing(kind, with_own=(name, path) not in FILTERS)
    answers = {asked: _answer(town, name, request, path, asked) for asked in [town.real(kind), *missing]}
    assert len(set(answers.values())) == 1, answers
    assert snapshot_of(town.other.tenant.admin, town.other.tenant.name) == before


def test_the_wall_is_looked_at_from_every_rpc_that_takes_a_name() -> None:
    """All but those about the platform as a whole or about what is only being made."""
    without = METHODS.keys() - {name for name, _, _ in CASES}
    assert without == {"ListOrganizations", "CreateOrganization"}


def test_a_batch_item_of_another_organization_is_refused_alone(town: Town) -> None:
    """The others are decided, and the refusal does not tell whether that organization exists."""
    request = town.own.request("BatchCheckSpend")
    answers = set()
    for asked in (town.real("outlay.dev/Organization"), *town.missing("outlay.dev/Organization")):
        request.requests[0].organization = asked
        for item in request.requests:
            item.ClearField("request_id")
        response = town.caller.call("BatchCheckSpend", request)
        assert [item.HasField("error") for item in response.responses] == [True, False, False]
        answers.add(response.responses[0].error.SerializeToString().replace(asked.encode(), b"<asked>"))
    assert len(answers) == 1


def test_an_own_object_beside_anothers_organization_is_missing_too(town: Town) -> None:
    """A name of one's own under the other's organization, and the other way round, reach nothing."""
    own_record = town.own.record()
    for organization, record in (
        (town.other.tenant.name, own_record),
        (town.own.tenant.name, town.real("outlay.dev/SpendRecord")),
    ):
        request = town.own.request("RefundSpend")
        request.organization, request.spend_record = organization, record
        assert town.caller.fails("RefundSpend", request).reason == "NOT_FOUND"


def test_the_id_of_another_organization_is_not_revealed_by_lists(town: Town) -> None:
    """What a caller may list is of its own organization, all of it."""
    for name in ("ListBudgets", "ListReservations", "ListSpendRecords", "ListApiKeys", "ListAlerts", "ListAuditEvents"):
        body = town.caller.raw(name, town.own.request(name).SerializeToString())
        assert town.other.tenant.organization_id.encode() not in body


def test_a_second_organization_does_not_share_request_ids(admin: Caller) -> None:
    first, second = new_tenant(admin), new_tenant(admin)
    records = []
    for tenant, amount in ((first, 5), (second, 7)):
        with tenant.caller(["spend:record"]) as caller:
            records.append(caller.call("RecordSpend", tenant.record(amount, request_id="shared")).spend_record)
    assert [record.amount_micros for record in records] == [5, 7]
    assert [_spent(first), _spent(second)] == [5, 7]


def _spent(tenant: Tenant) -> int:
    return tenant.budget().spend.spent_micros


def _answer(town: Town, name: str, request: Any, path: str, asked: str) -> tuple[Any, ...]:
    """What one's own key is answered when a field names `asked`, with that name taken out."""
    changed = type(request)()
    changed.CopyFrom(request)
    _set(changed, path.split("."), asked)
    if hasattr(changed, "etag"):
        changed.ClearField("etag")
    try:
        # With the id that the caller gives the call, nothing in the answer is the server's free choice.
        body = town.caller.raw(name, changed.SerializeToString(), metadata=[("x-request-id", "wall")])
        return ("OK", body.replace(asked.encode(), b"<asked>"))
    except Failure as failure:
        trailers = sorted((key, _bytes(value).replace(asked.encode(), b"<asked>")) for key, value in failure.trailers)
        return (failure.code, failure.message.replace(asked, "<asked>"), *trailers)


def _set(message: Any, path: list[str], value: str) -> None:
    head, *rest = path
    if not rest:
        setattr(message, head, value)
        return
    inner = getattr(message, head)
    for item in inner if hasattr(inner, "add") else [inner]:
        _set(item, rest, value)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
