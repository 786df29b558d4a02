"""The methods of AdminService for webhook endpoints and deliveries."""

import os
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty
from sqlalchemy import Connection, Row

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1 import delivery_pb2
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint
from outlay_server.api import from_wire, page_tokens, to_wire
from outlay_server.api.caller import Call
from outlay_server.api.changes import change_once
from outlay_server.control import Origin, webhook_endpoints
from outlay_server.control.webhook_endpoints import Secret
from outlay_server.delivery import Message, Sender
from outlay_server.domain.destination import DestinationRules
from outlay_server.domain.errors import Unimplemented
from outlay_server.domain.event import TEST_EVENT_TYPE, payload_of
from outlay_server.domain.names import OrganizationName, WebhookEndpointName
from outlay_server.domain.webhook import secret_of
from outlay_server.store import reads, webhook_rows
from outlay_server.store.contract import ControlTransaction, Store
from outlay_server.store.ids import new_id, wall_clock
from outlay_server.store.sealing import PlainSealer, Sealer

SECRET_BYTES: Final = 32

TEST_SECONDS: Final = 4.0
"""Less than the deadline that a call has by default, so that its caller hears what happened."""


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What the server was set up with."""

    rules: DestinationRules = field(default_factory=DestinationRules)
    sealer: Sealer = field(default_factory=PlainSealer)
    sender: Sender | None = None
    """Makes the attempts of `TestWebhookEndpoint`; None where nothing is ever sent."""


def new_secret() -> str:
    """A signing secret that nobody has had before."""
    return secret_of(os.urandom(SECRET_BYTES))


class WebhookMethods:
    """The methods, by their names in snake case; each takes the request and the call."""

    _store: Store
    _webhooks: Webhooks

    async def get_webhook_endpoint(self, request: pb.GetWebhookEndpointRequest, call: Call) -> WebhookEndpoint:
        name = from_wire.webhooks.named(request, call.caller)
        found = await self._store.read(lambda c: webhook_rows.endpoint(c, name.organization_id, name.resource_id))
        return to_wire.webhooks.endpoint(found)

    async def list_webhook_endpoints(
        self, request: pb.ListWebhookEndpointsRequest, call: Call
    ) -> pb.ListWebhookEndpointsResponse:
        organization_id, page = from_wire.webhooks.listing(request, call.caller)
        found = await self._store.read(
            lambda c: webhook_rows.endpoints(c, organization_id, page.after_id, page.size + 1)
        )
        shown = found[: page.size]
        token = page_tokens.seal(request, (shown[-1].endpoint_id,)) if len(found) > page.size else ""
        messages = map(to_wire.webhooks.endpoint, shown)
        return pb.ListWebhookEndpointsResponse(webhook_endpoints=messages, next_page_token=token)

    async def create_webhook_endpoint(self, request: pb.CreateWebhookEndpointRequest, call: Call) -> WebhookEndpoint:
        asked = from_wire.webhooks.create(request, call.caller)
        name, (made, secret) = asked.name, self._secret(asked.secret)

        def work(transaction: ControlTransaction, origin: Origin) -> WebhookEndpoint:
            written = webhook_endpoints.create(
                transaction,
                origin,
                name.organization_id,
                name.resource_id,
                asked.settings,
                secret,
                self._webhooks.rules,
                validate_only=asked.validate_only,
            )
            return to_wire.webhooks.endpoint(written.endpoint, made if written.has_new_secret else "")

        return await change_once(self._store, call, name.organization_id, request, WebhookEndpoint, work)

    async def update_webhook_endpoint(self, request: pb.UpdateWebhookEndpointRequest, call: Call) -> WebhookEndpoint:
        asked = from_wire.webhooks.update(request, call.caller)
        name, (made, secret) = asked.name, self._secret(asked.secret)

        def work(transaction: ControlTransaction, origin: Origin) -> WebhookEndpoint:
            written = webhook_endpoints.update(
                transaction,
                origin,
                name.organization_id,
                name.resource_id,
                asked.settings,
                asked.paths,
                secret,
                self._webhooks.rules,
                etag=asked.etag,
                allow_missing=asked.allow_missing,
                validate_only=asked.validate_only,
                manager=asked.manager,
                override_manager=asked.override_manager,
            )
            return to_wire.webhooks.endpoint(written.endpoint, made if written.has_new_secret else "")

        return await change_once(self._store, call, name.organization_id, request, WebhookEndpoint, work)

    async def delete_webhook_endpoint(self, request: pb.DeleteWebhookEndpointRequest, call: Call) -> Empty:
        asked = from_wire.webhooks.delete(request, call.caller)

        def work(transaction: ControlTransaction, origin: Origin) -> Empty:
            webhook_endpoints.delete(
                transaction,
                origin,
                asked.name.organization_id,
                asked.name.resource_id,
                etag=asked.etag,
                validate_only=asked.validate_only,
                manager=asked.manager,
                override_manager=asked.override_manager,
            )
            return Empty()

        return await change_once(self._store, call, asked.name.organization_id, request, Empty, work)

    async def rotate_webhook_secret(self, request: pb.RotateWebhookSecretRequest, call: Call) -> WebhookEndpoint:
        asked = from_wire.webhooks.rotate(request, call.caller)
        name, (made, secret) = asked.name, self._secret(asked.secret)

        def work(transaction: ControlTransaction, origin: Origin) -> WebhookEndpoint:
            changed = webhook_endpoints.rotate_secret(
                transaction,
                origin,
                name.organization_id,
                name.resource_id,
                secret,
                asked.overlap_micros,
                etag=asked.etag,
            )
            return to_wire.webhooks.endpoint(changed, made)

        return await change_once(self._store, call, name.organization_id, request, WebhookEndpoint, work)

    async def test_webhook_endpoint(
        self, request: pb.TestWebhookEndpointRequest, call: Call
    ) -> pb.TestWebhookEndpointResponse:
        name = from_wire.webhooks.named(request, call.caller)
        row = await self._store.read(lambda connection: _endpoint_row(connection, name))
        found = webhook_rows.endpoint_of(row, name.organization_id)
        now, organization = wall_clock(), str(OrganizationName(name.organization_id))
        message = Message(
            message_id=new_id(),
            event_type=TEST_EVENT_TYPE,
            payload=payload_of(TEST_EVENT_TYPE, {"organization": organization, "webhook_endpoint": str(name)}, now),
            uri=found.uri,
            format=found.format,
            stored_secrets=(row.secret,) if row.secret else (),
        )
        sender = self._webhooks.sender
        if sender is None:
            raise Unimplemented
        attempt = await sender.send(message, now, TEST_SECONDS)
        return pb.TestWebhookEndpointResponse(
            delivered=attempt.is_delivered, http_status=attempt.http_status or 0, error_message=attempt.error
        )

    async def list_deliveries(self, request: pb.ListDeliveriesRequest, call: Call) -> pb.ListDeliveriesResponse:
        asked = from_wire.webhooks.deliveries(request, call.caller)
        name, page = asked.name, asked.page
        found = await self._store.read(
            lambda c: webhook_rows.deliveries(
                c, name.organization_id, name.resource_id, page.after_id, page.size + 1, asked.state
            )
        )
        shown = found[: page.size]
        token = page_tokens.seal(request, (shown[-1].event_id,)) if len(found) > page.size else ""
        return pb.ListDeliveriesResponse(deliveries=map(to_wire.webhooks.delivery, shown), next_page_token=token)

    async def replay_delivery(self, request: pb.ReplayDeliveryRequest, call: Call) -> delivery_pb2.Delivery:
        name = from_wire.webhooks.replay(request, call.caller)

        def work(transaction: ControlTransaction, _: Origin) -> delivery_pb2.Delivery:
            again = webhook_endpoints.replay_delivery(
                transaction, name.organization_id, name.endpoint_id, name.event_id
            )
            return to_wire.webhooks.delivery(again)

        return await change_once(self._store, call, name.organization_id, request, delivery_pb2.Delivery, work)

    async def replay_dead_deliveries(
        self, request: pb.ReplayDeadDeliveriesRequest, call: Call
    ) -> pb.ReplayDeadDeliveriesResponse:
        name = from_wire.webhooks.replay_dead(request, call.caller)

        def work(transaction: ControlTransaction, _: Origin) -> pb.ReplayDeadDeliveriesResponse:
            count = webhook_endpoints.replay_dead(transaction, name.organization_id, name.resource_id)
            return pb.ReplayDeadDeliveriesResponse(replayed_count=count)

        answer_type = pb.ReplayDeadDeliveriesResponse
        return await change_once(self._store, call, name.organization_id, request, answer_type, work)

    def _secret(self, given: str) -> tuple[str, Secret]:
        """A secret to show where the server made it, and to store."""
        made = "" if given else new_secret()
        return made, Secret(self._webhooks.sealer.seal(given or made), is_given=bool(given))


def _endpoint_row(connection: Connection, name: WebhookEndpointName) -> Row[Any]:
    organization = reads.organization_row(connection, name.organization_id)
    return webhook_rows.endpoint_row(connection, organization.key, name.organization_id, name.resource_id)
