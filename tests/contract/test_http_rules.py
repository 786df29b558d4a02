"""Every RPC answers HTTP where the contract says."""

from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2 as pb

DESCRIPTORS = Path(__file__).resolve().parents[2] / "gen/outlay/v1/descriptors.binpb"

CONTRACT = """
BudgetService GetBudget              GET    /v1/{name=organizations/*/budgets/*}                            -
BudgetService ListBudgets            GET    /v1/{parent=organizations/*}/budgets                            -
BudgetService CreateBudget           POST   /v1/{parent=organizations/*}/budgets                            budget
BudgetService UpdateBudget           PATCH  /v1/{budget.name=organizations/*/budgets/*}                     budget
BudgetService DeleteBudget           DELETE /v1/{name=organizations/*/budgets/*}                            -
BudgetService CheckSpend             POST   /v1/{organization=organizations/*}:checkSpend                   *
BudgetService BatchCheckSpend        POST   /v1/{organization=organizations/*}:batchCheckSpend              *
BudgetService RecordSpend            POST   /v1/{organization=organizations/*}:recordSpend                  *
BudgetService BatchRecordSpend       POST   /v1/{organization=organizations/*}:batchRecordSpend             *
BudgetService RefundSpend            POST   /v1/{organization=organizations/*}:refundSpend                  *
BudgetService ReleaseReservation     POST   /v1/{name=organizations/*/reservations/*}:release               *
BudgetService ExtendReservation      POST   /v1/{name=organizations/*/reservations/*}:extend                *
BudgetService GetReservation         GET    /v1/{name=organizations/*/reservations/*}                       -
BudgetService ListReservations       GET    /v1/{parent=organizations/*}/reservations                       -
BudgetService ListSpendRecords       GET    /v1/{parent=organizations/*}/spendRecords                       -
BudgetService QuerySpend             POST   /v1/{organization=organizations/*}:querySpend                   *
BudgetService WatchBudgets           GET    /v1/{parent=organizations/*}/budgets:watch                      -
AdminService  GetOrganization        GET    /v1/{name=organizations/*}                                      -
AdminService  ListOrganizations      GET    /v1/organizations                                               -
AdminService  CreateOrganization     POST   /v1/organizations                                               organization
AdminService  UpdateOrganization     PATCH  /v1/{organization.name=organizations/*}                         organization
AdminService  DeleteOrganization     DELETE /v1/{name=organizations/*}                                      -
AdminService  ApplyCaps              POST   /v1/{organization=organizations/*}:applyCaps                    *
AdminService  CreateApiKey           POST   /v1/{parent=organizations/*}/apiKeys                            api_key
AdminService  ListApiKeys            GET    /v1/{parent=organizations/*}/apiKeys                            -
AdminService  RevokeApiKey           POST   /v1/{name=organizations/*/apiKeys/*}:revoke                     *
AdminService  GetWebhookEndpoint     GET    /v1/{name=organizations/*/webhookEndpoints/*}                   -
AdminService  ListWebhookEndpoints   GET    /v1/{parent=organizations/*}/webhookEndpoints                   -
AdminService  CreateWebhookEndpoint  POST   /v1/{parent=organizations/*}/webhookEndpoints                   webhook_endpoint
AdminService  UpdateWebhookEndpoint  PATCH  /v1/{webhook_endpoint.name=organizations/*/webhookEndpoints/*}  webhook_endpoint
AdminService  DeleteWebhookEndpoint  DELETE /v1/{name=organizations/*/webhookEndpoints/*}                   -
AdminService  TestWebhookEndpoint    POST   /v1/{name=organizations/*/webhookEndpoints/*}:test              *
AdminService  RotateWebhookSecret    POST   /v1/{name=organizations/*/webhookEndpoints/*}:rotateSecret      *
AdminService  ListDeliveries         GET    /v1/{parent=organizations/*/webhookEndpoints/*}/deliveries      -
AdminService  ReplayDelivery         POST   /v1/{name=organizations/*/webhookEndpoints/*/deliveries/*}:replay *
AdminService  ReplayDeadDeliveries   POST   /v1/{name=organizations/*/webhookEndpoints/*}:replayDeadDeliveries *
AdminService  ListAlerts             GET    /v1/{parent=organizations/*}/alerts                             -
AdminService  ListAuditEvents        GET    /v1/{parent=organizations/*}/auditEvents                        -
"""  # noqa: E501, one row is one rule
"""Service, RPC, verb, path, and the field that the body is (`*`: the whole request, `-`: no body)."""

STREAMING = {"WatchBudgets"}

Rule = tuple[str, str, str, str, str]


@pytest.fixture(scope="module")
def descriptors() -> pb.FileDescriptorSet:
    return pb.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


def methods(descriptors: pb.FileDescriptorSet) -> list[tuple[str, pb.MethodDescriptorProto]]:
    files = (file for file in descriptors.file if file.package == "outlay.v1")
    return [(service.name, method) for file in files for service in file.service for method in service.method]


def rule_of(service: str, method: pb.MethodDescriptorProto) -> Rule:
    http = method.options.Extensions[annotations_pb2.http]
    pattern = http.WhichOneof("pattern")
    assert pattern, f"{method.name} has no rule"
    assert not http.additional_bindings, f"{method.name} has a second rule"
    return service, method.name, pattern.upper(), getattr(http, pattern), http.body or "-"


def test_every_rpc_has_the_http_rule_of_the_contract(descriptors: pb.FileDescriptorSet):
    """No more, no fewer, and each exactly so."""
    expected = [tuple(line.split()) for line in CONTRACT.strip().splitlines()]
    actual = [rule_of(service, method) for service, method in methods(descriptors)]
    assert sorted(expected) == sorted(actual)


def test_only_watching_streams(descriptors: pb.FileDescriptorSet):
    """Everything else is one question and one answer, so that it has an HTTP face and can be retried."""
    streaming = {m.name for _, m in methods(descriptors) if m.client_streaming or m.server_streaming}
    assert streaming == STREAMING
