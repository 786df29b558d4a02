"""Errors on the wire: a code for each reason, details for each error, and trailers that clients accept."""

import grpc
import pytest
from google.rpc import error_details_pb2

from outlay.v1 import error_reason_pb2
from outlay_server.api.errors import CODES, ERROR_DOMAIN, Internal, code_of, status_of, trailers_of
from outlay_server.domain.errors import (
    ErrorReason,
    InvalidApiKey,
    MissingScope,
    NotFound,
    OutlayError,
    Overloaded,
    ValidationFailed,
    Violation,
)
from outlay_server.domain.limits import VIOLATIONS_MAX


def test_every_reason_of_the_contract_has_a_code() -> None:
    values = error_reason_pb2.DESCRIPTOR.enum_types_by_name["ErrorReason"].values
    names = {value.name.removeprefix("ERROR_REASON_") for value in values} - {"UNSPECIFIED"}
    assert {reason.value for reason in CODES} == names


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (ErrorReason.INVALID_API_KEY, grpc.StatusCode.UNAUTHENTICATED),
        (ErrorReason.MISSING_SCOPE, grpc.StatusCode.PERMISSION_DENIED),
        (ErrorReason.VALIDATION_FAILED, grpc.StatusCode.INVALID_ARGUMENT),
        (ErrorReason.NOT_FOUND, grpc.StatusCode.NOT_FOUND),
        (ErrorReason.ALREADY_EXISTS, grpc.StatusCode.ALREADY_EXISTS),
        (ErrorReason.ETAG_MISMATCH, grpc.StatusCode.ABORTED),
        (ErrorReason.MANAGED_ELSEWHERE, grpc.StatusCode.FAILED_PRECONDITION),
        (ErrorReason.REQUEST_ID_REUSED, grpc.StatusCode.INVALID_ARGUMENT),
        (ErrorReason.RESERVATION_CLOSED, grpc.StatusCode.FAILED_PRECONDITION),
        (ErrorReason.OVERLOADED, grpc.StatusCode.UNAVAILABLE),
        (ErrorReason.STORAGE_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_the_codes_are_those_of_the_contract(reason: ErrorReason, code: grpc.StatusCode) -> None:
    assert CODES[reason] is code


@pytest.mark.parametrize(
    "error",
    [InvalidApiKey(), MissingScope("spend:check"), NotFound("organizations/acme"), Overloaded(1), Internal("abc")],
    ids=lambda error: error.reason.value,
)
def test_an_error_tells_its_reason_and_every_fact(error: OutlayError) -> None:
    status = status_of(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason, dict(info.metadata)) == (ERROR_DOMAIN, error.reason.value, dict(error.facts))
    assert (status.code, status.message) == (code_of(error).value[0], error.message)


def test_a_validation_error_lists_its_violations_in_order() -> None:
    error = ValidationFailed([Violation("unit", "must be a unit"), Violation("labels[x]", "too long")])
    request = error_details_pb2.BadRequest()
    assert status_of(error).details[1].Unpack(request)
    assert [(found.field, found.description) for found in request.field_violations] == [
        ("unit", "must be a unit"),
        ("labels[x]", "too long"),
    ]


def test_an_error_with_as_many_violations_as_there_may_be_fits_the_trailers_that_clients_accept() -> None:
    error = ValidationFailed([Violation(f"requests[{i}].labels", "é" * 60) for i in range(VIOLATIONS_MAX)])
    assert len(status_of(error).SerializeToString()) * 4 / 3 < 6 * 1024


def test_one_violation_is_always_listed() -> None:
    error = ValidationFailed([Violation("f", "x" * 5_000)])
    request = error_details_pb2.BadRequest()
    assert status_of(error).details[1].Unpack(request)
    assert len(request.field_violations) == 1


def test_overload_says_when_to_try_again_twice() -> None:
    """Once for programs that read details, and once for the retry policies of gRPC."""
    error = Overloaded(2)
    status, retry = status_of(error), error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 2
    assert dict(trailers_of(error, status))["grpc-retry-pushback-ms"] == "2000"


def test_other_errors_push_nobody_back() -> None:
    error = NotFound("organizations/acme")
    assert "grpc-retry-pushback-ms" not in dict(trailers_of(error, status_of(error)))
