"""Changes under a request_id happen once, also where two equal ones meet."""

import pytest

from api.edge import Edge
from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import organization_pb2
from outlay_server.api.caller import PLATFORM, Call
from outlay_server.api.changes import change_once
from outlay_server.control import Origin, replay
from outlay_server.domain.errors import AlreadyExists
from outlay_server.store.contract import ControlTransaction

REQUEST = admin.CreateOrganizationRequest(organization_id="acme", request_id="q")
CALL = Call("CreateOrganization", PLATFORM, "grpc", "c")
ANSWER = organization_pb2.Organization(name="organizations/acme", etag="r1")


async def test_the_later_of_two_equal_creations_at_once_gets_the_answer_of_the_earlier(edge: Edge) -> None:
    """On replicas both may look before either has written: the later one then finds what it wanted to make."""
    content = {"organization_id": "acme"}

    def other(transaction: ControlTransaction) -> None:
        answer = {"name": ANSWER.name, "etag": ANSWER.etag}
        replay.remember(transaction, "acme", "q", "CreateOrganization", content, answer)

    class MeetsAnother:
        """A store in which the equal request commits between this one's look and its write."""

        attempts = 0

        async def change(self, work):
            self.attempts += 1
            if self.attempts == 1:
                await edge.store.change(other)
                raise AlreadyExists(ANSWER.name)
            return await edge.store.change(work)

    def work(transaction: ControlTransaction, origin: Origin) -> organization_pb2.Organization:
        raise AssertionError("it has been done")

    answer = await change_once(MeetsAnother(), CALL, "acme", REQUEST, organization_pb2.Organization, work)
    assert answer == ANSWER


async def test_what_was_made_by_another_request_exists_already(edge: Edge) -> None:
    def work(transaction: ControlTransaction, origin: Origin) -> organization_pb2.Organization:
        raise AlreadyExists(ANSWER.name)

    with pytest.raises(AlreadyExists):
        await change_once(edge.store, CALL, "acme", REQUEST, organization_pb2.Organization, work)
