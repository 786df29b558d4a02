"""Page tokens open the page they were made for and nothing else."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import budget_service_pb2 as pb
from outlay_server.api.page_tokens import TOKEN_MAX_LENGTH, seal, unseal

REQUEST = pb.ListReservationsRequest(parent="organizations/acme", unit="USD", page_size=10)
ALPHABET = string.ascii_letters + string.digits + "-_"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])), st.integers(-(2**63), 2**63 - 1))
def test_a_token_gives_back_the_position_it_was_made_of(text: str, number: int) -> None:
    token = seal(REQUEST, (number, text))
    assert unseal(REQUEST, token, (int, str)) == (number, text)


@given(st.data())
def test_a_token_with_any_one_character_changed_is_refused(data: st.DataObject) -> None:
    token = seal(REQUEST, ("01a20025-b91c-7786-ad2d-07414a6fd9cc",))
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from([letter for letter in ALPHABET if letter != token[place]]))
    assert unseal(REQUEST, token[:place] + other + token[place + 1 :], (str,)) is None


def test_a_token_is_good_for_another_page_size() -> None:
    token = seal(REQUEST, ("x",))
    other = pb.ListReservationsRequest(parent="organizations/acme", unit="USD", page_size=99, page_token=token)
    assert unseal(other, token, (str,)) == ("x",)


@pytest.mark.parametrize(
    "other",
    [
        pb.ListReservationsRequest(parent="organizations/other", unit="USD"),
        pb.ListReservationsRequest(parent="organizations/acme", unit="EUR"),
        pb.ListReservationsRequest(parent="organizations/acme"),
        pb.ListSpendRecordsRequest(parent="organizations/acme", unit="USD"),
        admin.ListAlertsRequest(parent="organizations/acme"),
    ],
    ids=["parent", "filter", "filter-left-out", "method", "service"],
)
def test_a_token_is_refused_with_another_question(other: object) -> None:
    assert unseal(other, seal(REQUEST, ("x",)), (str,)) is None


@pytest.mark.parametrize("shape", [(int,), (str, str), (), (bool,)])
def test_a_token_whose_parts_are_of_other_types_is_refused(shape: tuple[type, ...]) -> None:
    assert unseal(REQUEST, seal(REQUEST, ("x",)), shape) is None


@pytest.mark.parametrize("token", ["", "x", "é", "!!!!", "A" * 100, "=" * 8, " ", "A" * (TOKEN_MAX_LENGTH + 1), "\0"])
def test_text_that_is_no_token_is_refused(token: str) -> None:
    assert unseal(REQUEST, token, (str,)) is None


def test_control_characters_do_not_reach_the_database_through_a_token() -> None:
    assert unseal(REQUEST, seal(REQUEST, ("\0",)), (str,)) is None
