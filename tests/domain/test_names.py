"""Resource names: parsed completely or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay_server.domain.names import (
    AlertName,
    ApiKeyName,
    AuditEventName,
    BudgetName,
    OrganizationName,
    ReservationName,
    SpendRecordName,
    WebhookEndpointName,
    id_violation,
    request_id_violation,
)

UUID = "018f3a2e-7c41-7d6b-9a53-0242ac120002"
ids = st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True)


@given(ids, ids)
def test_a_budget_name_is_read_back_as_it_was_written(organization_id: str, budget_id: str) -> None:
    """Writing and reading are inverse for every id that callers may choose."""
    name = BudgetName(organization_id, budget_id)
    assert str(name) == f"organizations/{organization_id}/budgets/{budget_id}"
    assert BudgetName.parse(str(name)) == name
    assert name.organization == OrganizationName.parse(f"organizations/{organization_id}")


@pytest.mark.parametrize(
    ("kind", "collection"),
    [
        (ReservationName, "reservations"),
        (SpendRecordName, "spendRecords"),
        (AlertName, "alerts"),
        (AuditEventName, "auditEvents"),
        (ApiKeyName, "apiKeys"),
    ],
)
def test_names_with_ids_of_ours_hold_a_uuid(kind: type[ReservationName], collection: str) -> None:
    """One spelling in lower case; anything else is no name, and reads as a missing resource."""
    name = f"organizations/acme/{collection}/{UUID}"
    parsed = kind.parse(name)
    assert parsed is not None
    assert (parsed.organization_id, parsed.resource_id, str(parsed)) == ("acme", UUID, name)
    for malformed in (name.upper(), name + "/", name + "\n", name[:-1], f"organizations/acme/{collection}/{'-' * 36}"):
        assert kind.parse(malformed) is None


def test_a_webhook_endpoint_has_an_id_that_its_caller_chose() -> None:
    """It is kept as code, so its name must be known before it exists."""
    parsed = WebhookEndpointName.parse("organizations/acme/webhookEndpoints/on-call")
    assert parsed == WebhookEndpointName("acme", "on-call")
    assert WebhookEndpointName.parse("organizations/acme/webhookEndpoints/On-Call") is None


def test_a_name_of_one_kind_is_none_of_another() -> None:
    """The collection is part of the name."""
    assert ReservationName.parse(str(SpendRecordName("acme", UUID))) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "acme",
        "organizations",
        "organizations/",
        "organizations/Acme",
        "organizations/acme/",
        "organizations/acme\n",
        "organizations/acme/budgets",
        "/organizations/acme",
        "organizations//acme",
        "organizations/-",
        "organizations/*",
        "organizations/..",
        "organizations/ácme",
        "projects/acme",
        f"organizations/{'a' * 64}",
    ],
)
def test_text_that_only_resembles_an_organizations_name_is_none(name: str) -> None:
    """No trimming, no case folding, no wildcard, no path tricks."""
    assert OrganizationName.parse(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "organizations/acme/budgets/",
        "organizations/acme/budgets/a/b",
        "organizations/acme/budgets/a/",
        "organizations/acme/budgets/..",
        "organizations/acme/Budgets/a",
        "organizations//budgets/a",
        "folders/acme/budgets/a",
    ],
)
def test_text_that_only_resembles_a_budgets_name_is_none(name: str) -> None:
    """The same for a resource under an organization."""
    assert BudgetName.parse(name) is None


@pytest.mark.parametrize("text", ["a", "a-1", "a" * 63])
def test_ids_that_callers_may_choose(text: str) -> None:
    """A lower-case letter, then up to 62 letters, digits and hyphens."""
    assert id_violation(text) is None


@pytest.mark.parametrize("text", ["", "1a", "-a", "A", "a_b", "a.b", "a b", "é", "a\n", "a" * 64, "a\x00"])
def test_ids_that_callers_may_not_choose(text: str) -> None:
    """Everything that would need escaping in a URL, or that two systems would fold into one."""
    assert id_violation(text) is not None


def test_request_ids_are_1_to_128_printable_ascii_characters() -> None:
    """Blank space counts as printable; a line break, an empty text and a letter outside ASCII do not pass."""
    assert [request_id_violation(text) for text in ("a", " ~", "x" * 128)] == [None] * 3
    assert None not in [request_id_violation(text) for text in ("", "x" * 129, "a\n", "a\t", "é", "\x7f")]
