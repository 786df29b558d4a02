"""The table of permissions: complete, and the same as what the contract says."""

import re
from pathlib import Path

import pytest

from outlay_server.api.dispatcher import contract_methods
from outlay_server.api.permissions import PERMISSIONS, Permission, PermissionMissing, Reach, ensure_complete
from outlay_server.domain.api_key import ORGANIZATION_SCOPES, Scope

PROTOS = Path(__file__).parents[2] / "proto" / "outlay" / "v1"
RPC = re.compile(r"((?:  //[^\n]*\n)+)  rpc (\w+)\(")


def documented_scopes() -> dict[str, set[str]]:
    """The scopes that the comment of each RPC names, by its path."""
    found = {}
    for service in ("BudgetService", "AdminService"):
        text = (PROTOS / ("budget_service.proto" if service == "BudgetService" else "admin_service.proto")).read_text()
        for comment, rpc in RPC.findall(text):
            prose = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
            sentence = re.search(r"Scope: (.*?)\. (?:Errors|When)", prose)
            assert sentence is not None, rpc
            found[f"/outlay.v1.{service}/{rpc}"] = set(re.findall(r"`([a-z:]+)`", sentence.group(1)))
    return found


def test_every_rpc_of_the_descriptors_has_a_permission() -> None:
    ensure_complete(contract_methods())


def test_an_rpc_without_a_permission_keeps_the_server_from_starting() -> None:
    with pytest.raises(PermissionMissing, match="SpendFreely"):
        ensure_complete([*contract_methods(), "/outlay.v1.BudgetService/SpendFreely"])


def test_a_permission_for_what_is_no_rpc_is_a_mistake_too() -> None:
    stray = {**PERMISSIONS, "/outlay.v1.BudgetService/Gone": Permission((Scope.ADMIN,))}
    with pytest.raises(PermissionMissing, match="Gone"):
        ensure_complete(contract_methods(), stray)


def test_the_scopes_are_those_of_the_protos_comments() -> None:
    assert {path: set(permission.scopes) for path, permission in PERMISSIONS.items()} == documented_scopes()


def test_what_reaches_the_platform_takes_a_scope_that_no_organization_can_hold() -> None:
    for path, permission in PERMISSIONS.items():
        is_closed = not ORGANIZATION_SCOPES & set(permission.scopes)
        assert is_closed == (permission.reach is Reach.PLATFORM), path
