"""Keys over the wire: what opens nothing is told nothing, and a revocation is obeyed everywhere within a second."""

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_service_pb2 as pb
from support.replicas import Replicas
from support.tenants import Tenant, new_key, new_tenant
from support.wire import METHODS, Caller, Failure, Metadata, new_request

REVOKED_WITHIN_SECONDS = 1.0


def _bearer(key: str) -> Metadata:
    return [("authorization", f"Bearer {key}")]


def _get(tenant: Tenant) -> bytes:
    return pb.GetBudgetRequest(name=tenant.child("budgets", "spending")).SerializeToString()


@pytest.fixture
def nobody(admin: Caller) -> Caller:
    """A caller that sends no key but what a call brings along."""
    return admin.with_key(None)


def _malformed(key: str) -> dict[str, Metadata]:
    """Credentials that are none, made from a key that is one."""
    wrong_last = key[:-1] + ("0" if key[-1] != "0" else "1")
    return {
        "no key": (),
        "nothing after Bearer": _bearer(""),
        "another scheme": [("authorization", f"Basic {key}")],
        "no scheme": [("authorization", key)],
        "another prefix": _bearer(f"pk_{key[3:]}"),
        "one character changed": _bearer(wrong_last),
        "one character less": _bearer(key[:-1]),
        "one character more": _bearer(f"{key}0"),
        "in capitals": _bearer(key.upper()),
        "with a zero as an O": _bearer(key[:3] + key[3:].replace("0", "O")) if "0" in key else _bearer("sk_O"),
        "well-formed, but nobody's": _bearer(new_key()),
        "very long": _bearer("sk_" + "a" * 4_000),
        "another header": [("x-api-key", key)],
        "two keys in one": [("authorization", f"Bearer {key}, Bearer {key}")],
        "the same key twice": [*_bearer(key), *_bearer(key)],
        "two keys": [*_bearer(key), *_bearer(new_key())],
        "a key and another scheme": [*_bearer(key), ("authorization", "Basic abc")],
    }


def test_whatever_is_no_key_is_refused_in_the_same_words(tenant: Tenant, nobody: Caller) -> None:
    """UNAUTHENTICATED INVALID_API_KEY, and nobody learns whether it was nearly right, unknown, or sent twice."""
    key = tenant.key().secret
    told: set[tuple[Any, ...]] = set()
    for what, metadata in _malformed(key).items():
        refused = nobody.fails("GetBudget", _get(tenant), metadata=[*metadata, ("x-request-id", "same")])
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_API_KEY"), what
        told.add((refused.message, refused.trailers))
    assert len(told) == 1
    nobody.raw("GetBudget", _get(tenant), metadata=_bearer(key))


@pytest.mark.parametrize("name", METHODS)
def test_no_rpc_answers_without_a_key(name: str, nobody: Caller) -> None:
    """Not even one that is not implemented, nor a request that is no message."""
    for body in (new_request(name).SerializeToString(), b"\xff\xff"):
        refused = nobody.fails(name, body)
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_API_KEY")


def test_an_expired_key_opens_nothing(tenant: Tenant) -> None:
    """It works before its time, and from then on not once more; the words are those for a key that never was."""
    expires = time.time() + 1.5
    made = tenant.key(expire_time=Timestamp(nanos=round(expires % 1 * 1e6) * 1_000, seconds=int(expires)))
    with tenant.admin.with_key(made.secret) as caller:
        caller.raw("GetBudget", _get(tenant))
        refused = _poll_until_refused(caller, tenant, give_up_seconds=5)
        assert time.time() >= expires
        assert time.time() < expires + REVOKED_WITHIN_SECONDS
        with tenant.admin.with_key(new_key()) as unknown:
            assert unknown.fails("GetBudget", _get(tenant)).message == refused.message


def test_a_revoked_key_is_refused_on_every_replica_within_a_second(
    replicas: Replicas, record_property: Callable[[str, Any], None]
) -> None:
    """Revoked at one replica, used at another: five times, and for good."""
    admin = replicas.admin()
    tenant = new_tenant(admin)
    slowest = 0.0
    for _ in range(5):
        made = tenant.key(["budgets:read"])
        users = [Caller(address, made.secret) for address in replicas.addresses]
        for user in users:
            user.raw("GetBudget", _get(tenant))
        admin.call("RevokeApiKey", admin_pb.RevokeApiKeyRequest(name=made.name))
        revoked = time.monotonic()
        # Where it was revoked it is refused at once.
        assert users[0].fails("GetBudget", _get(tenant)).reason == "INVALID_API_KEY"
        for user in users:
            _poll_until_refused(user, tenant, give_up_seconds=5)
            slowest = max(slowest, time.monotonic() - revoked)
            assert user.fails("GetBudget", _get(tenant)).reason == "INVALID_API_KEY"
            user.close()
    record_property("slowest_seconds", round(slowest, 3))
    assert slowest < REVOKED_WITHIN_SECONDS


def test_the_keys_of_a_deleted_organization_open_nothing(tenant: Tenant) -> None:
    with tenant.caller() as caller:
        caller.raw("GetBudget", _get(tenant))
        tenant.admin.call("DeleteOrganization", admin_pb.DeleteOrganizationRequest(name=tenant.name))
        assert _poll_until_refused(caller, tenant, give_up_seconds=5).reason == "INVALID_API_KEY"


def test_a_secret_is_told_once_and_is_nowhere_else(tenant: Tenant) -> None:
    """Not in the list of keys, nor in the audit event of its making; only its last four characters are."""
    made = tenant.key()
    keys = tenant.admin.raw("ListApiKeys", admin_pb.ListApiKeysRequest(parent=tenant.name).SerializeToString())
    events = tenant.admin.raw(
        "ListAuditEvents", admin_pb.ListAuditEventsRequest(parent=tenant.name).SerializeToString()
    )
    for body in (keys, events):
        assert made.secret.encode() not in body
        assert made.secret[3:35].encode() not in body
    assert made.last_four == made.secret[-4:]


def _poll_until_refused(caller: Caller, tenant: Tenant, *, give_up_seconds: float) -> Failure:
    deadline = time.monotonic() + give_up_seconds
    while time.monotonic() < deadline:
        try:
            caller.raw("GetBudget", _get(tenant))
        except Failure as failure:
            return failure
    raise AssertionError(f"still accepted after {give_up_seconds} s")
