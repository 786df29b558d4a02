"""`docs/errors.md` has a row for every reason, with the codes that the edges answer."""

from docs import tables
from outlay.v1 import error_reason_pb2
from outlay_rest.problems import HTTP_STATUS
from outlay_server.api.errors import CODES
from outlay_server.domain.errors import ErrorReason


def _stated() -> dict[str, list[str]]:
    rows = tables.rows("errors.md", "Reasons")
    stated = {tables.code(row[0]): row for row in rows}
    assert len(stated) == len(rows), "a reason has one row"
    return stated


def test_every_reason_of_the_contract_has_a_row() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    assert _stated().keys() == names


def test_codes_and_statuses_are_those_of_the_edges() -> None:
    expected = {reason.value: (CODES[reason].name, str(HTTP_STATUS[CODES[reason].name])) for reason in ErrorReason}
    assert {name: (row[1], row[2]) for name, row in _stated().items()} == expected


def test_every_reason_says_when_it_comes_and_what_to_do() -> None:
    silent = [name for name, row in _stated().items() if not (row[3].endswith(".") and row[4].endswith("."))]
    assert silent == []
