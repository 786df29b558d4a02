"""AdminService: each method reads its request, asks once, and answers."""

import os
from collections.abc import Callable

from google.protobuf.empty_pb2 import Empty

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1 import api_key_pb2, caps_pb2, organization_pb2
from outlay_server.api import from_wire, page_tokens, to_wire
from outlay_server.api.caller import Call
from outlay_server.api.changes import change_once
from outlay_server.api.from_wire.organizations import OrganizationDeletion, OrganizationUpdate
from outlay_server.api.webhook_methods import WebhookMethods, Webhooks, new_secret
from outlay_server.control import Origin, api_keys, organizations
from outlay_server.control import apply as control_apply
from outlay_server.control.apply_endpoints import EndpointCare
from outlay_server.domain.api_key import SECRET_BYTES, assemble
from outlay_server.domain.views import OrganizationView
from outlay_server.store import ledger_reads, reads
from outlay_server.store.contract import ControlTransaction, Store


class AdminServicer(WebhookMethods):
    """The methods, by their names in snake case; each takes the request and the call."""

    def __init__(self, store: Store, keys_changed: Callable[[], None], webhooks: Webhooks) -> None:
        """`keys_changed` is called when a key has stopped being valid, before its revocation is answered."""
        self._store = store
        self._keys_changed = keys_changed
        self._webhooks = webhooks
        self._care = EndpointCare(webhooks.rules, webhooks.sealer, new_secret)

    # Organizations

    async def get_organization(self, request: pb.GetOrganizationRequest, call: Call) -> organization_pb2.Organization:
        organization_id = from_wire.organizations.get(request, call.caller)
        view = await self._store.read(lambda c: reads.organization_view(c, organization_id))
        return to_wire.organizations.organization(view)

    async def list_organizations(
        self, request: pb.ListOrganizationsRequest, call: Call
    ) -> pb.ListOrganizationsResponse:
        page = from_wire.organizations.listing(request, call.caller)
        views = await self._store.read(lambda c: reads.organization_views(c, page.after_id, page.size + 1))
        shown = views[: page.size]
        token = page_tokens.seal(request, (shown[-1].organization_id,)) if len(views) > page.size else ""
        messages = map(to_wire.organizations.organization, shown)
        return pb.ListOrganizationsResponse(organizations=messages, next_page_token=token)

    async def create_organization(
        self, request: pb.CreateOrganizationRequest, call: Call
    ) -> organization_pb2.Organization:
        asked = from_wire.organizations.create(request, call.caller)

        def work(transaction: ControlTransaction, origin: Origin) -> organization_pb2.Organization:
            view = organizations.create(
                transaction, origin, asked.organization_id, asked.settings, validate_only=asked.validate_only
            )
            return to_wire.organizations.organization(view)

        answer_type = organization_pb2.Organization
        return await change_once(self._store, call, asked.organization_id, request, answer_type, work)

    async def update_organization(
        self, request: pb.UpdateOrganizationRequest, call: Call
    ) -> organization_pb2.Organization:
        asked = from_wire.organizations.update(request, call.caller)

        def work(transaction: ControlTransaction, origin: Origin) -> organization_pb2.Organization:
            return to_wire.organizations.organization(_updated(transaction, origin, asked))

        answer_type = organization_pb2.Organization
        return await change_once(self._store, call, asked.organization_id, request, answer_type, work)

    async def delete_organization(self, request: pb.DeleteOrganizationRequest, call: Call) -> Empty:
        asked = from_wire.organizations.delete(request, call.caller)

        def work(transaction: ControlTransaction, origin: Origin) -> Empty:
            _delete(transaction, origin, asked)
            return Empty()

        answer = await change_once(self._store, call, asked.organization_id, request, Empty, work)
        self._keys_changed()
        return answer

    # Caps as code

    async def apply_caps(self, request: caps_pb2.ApplyCapsRequest, call: Call) -> caps_pb2.ApplyCapsResponse:
        asked = from_wire.caps.apply(request, call.caller)
        if request.validate_only:
            now = await self._store.now()
            return to_wire.caps.plan(await self._store.read(lambda c: control_apply.plan(c, asked, self._care, now)))

        def work(transaction: ControlTransaction, origin: Origin) -> caps_pb2.ApplyCapsResponse:
            return to_wire.caps.plan(control_apply.apply(transaction, origin, asked, self._care, call.caller.scopes))

        answer_type = caps_pb2.ApplyCapsResponse
        return await change_once(self._store, call, asked.organization_id, request, answer_type, work)

    # Keys

    async def create_api_key(self, request: pb.CreateApiKeyRequest, call: Call) -> api_key_pb2.ApiKey:
        asked = from_wire.organizations.create_key(request, call.caller)
        secret = assemble(os.urandom(SECRET_BYTES))

        def work(transaction: ControlTransaction, origin: Origin) -> api_key_pb2.ApiKey:
            view = api_keys.create(
                transaction, origin, asked.organization_id, asked.display_name, asked.scopes, asked.expire_time, secret
            )
            return to_wire.organizations.api_key(view, secret)

        return await change_once(self._store, call, asked.organization_id, request, api_key_pb2.ApiKey, work)

    async def list_api_keys(self, request: pb.ListApiKeysRequest, call: Call) -> pb.ListApiKeysResponse:
        organization_id, page = from_wire.organizations.list_keys(request, call.caller)
        views = await self._store.read(lambda c: reads.key_views(c, organization_id, page.after_id, page.size + 1))
        shown = views[: page.size]
        token = page_tokens.seal(request, (shown[-1].key_id,)) if len(views) > page.size else ""
        return pb.ListApiKeysResponse(api_keys=map(to_wire.organizations.api_key, shown), next_page_token=token)

    async def revoke_api_key(self, request: pb.RevokeApiKeyRequest, call: Call) -> api_key_pb2.ApiKey:
        asked = from_wire.organizations.revoke_key(request, call.caller)

        def work(transaction: ControlTransaction, origin: Origin) -> api_key_pb2.ApiKey:
            view = api_keys.revoke(
                transaction, origin, asked.name.organization_id, asked.name.resource_id, etag=asked.etag
            )
            return to_wire.organizations.api_key(view)

        name = asked.name
        answer = await change_once(self._store, call, name.organization_id, request, api_key_pb2.ApiKey, work)
        self._keys_changed()
        return answer

    # What happened

    async def list_alerts(self, request: pb.ListAlertsRequest, call: Call) -> pb.ListAlertsResponse:
        asked = from_wire.queries.alerts(request, call.caller)
        page = asked.page
        rows = await self._store.read(
            lambda c: reads.alerts(c, asked.organization_id, page.after_id, page.size + 1, asked.budget_id)
        )
        shown = rows[: page.size]
        token = page_tokens.seal(request, (shown[-1].alert_id,)) if len(rows) > page.size else ""
        return pb.ListAlertsResponse(alerts=map(to_wire.organizations.alert, shown), next_page_token=token)

    async def list_audit_events(self, request: pb.ListAuditEventsRequest, call: Call) -> pb.ListAuditEventsResponse:
        asked = from_wire.queries.audit_events(request, call.caller)
        size = asked.page.size
        rows = await self._store.read(
            lambda c: ledger_reads.audit_events(
                c,
                asked.organization_id,
                asked.after_sequence,
                size + 1,
                resource=asked.resource,
                action=asked.action,
                start=asked.start,
                end=asked.end,
            )
        )
        shown = rows[:size]
        token = page_tokens.seal(request, (shown[-1].sequence,)) if len(rows) > size else ""
        messages = map(to_wire.organizations.audit_event, shown)
        return pb.ListAuditEventsResponse(audit_events=messages, next_page_token=token)


def _updated(transaction: ControlTransaction, origin: Origin, asked: OrganizationUpdate) -> OrganizationView:
    return organizations.update(
        transaction,
        origin,
        asked.organization_id,
        asked.settings,
        asked.paths,
        etag=asked.etag,
        allow_missing=asked.allow_missing,
        validate_only=asked.validate_only,
        manager=asked.manager,
        override_manager=asked.override_manager,
    )


def _delete(transaction: ControlTransaction, origin: Origin, asked: OrganizationDeletion) -> None:
    organizations.delete(
        transaction,
        origin,
        asked.organization_id,
        etag=asked.etag,
        force=asked.force,
        validate_only=asked.validate_only,
        manager=asked.manager,
        override_manager=asked.override_manager,
    )
