"""Paths are matched as they came over the wire."""

import pytest

from outlay_rest.path_template import normalize, parse_template
from outlay_rest.problems import Refused
from outlay_rest.rules import RULES, find


@pytest.mark.parametrize(
    ("template", "path", "value"),
    [
        ("/v1/organizations", "/v1/organizations", ""),
        ("/v1/organizations", "/v1/organizations/", None),
        ("/v1/{name=organizations/*}", "/v1/organizations/acme", "organizations/acme"),
        ("/v1/{name=organizations/*}", "/v1/organizations/-", "organizations/-"),
        ("/v1/{name=organizations/*}", "/v1/organizations/a/b", None),
        ("/v1/{name=organizations/*}", "/v1/organizations/", None),
        ("/v1/{name=organizations/*}", "/v1/organizations/..", None),
        ("/v1/{name=organizations/*}", "/v1/organizations/acme:checkSpend", None),
        ("/v1/{organization=organizations/*}:checkSpend", "/v1/organizations/acme:checkSpend", "organizations/acme"),
        ("/v1/{organization=organizations/*}:checkSpend", "/v1/organizations/acme", None),
        ("/v1/{b.name=organizations/*/budgets/*}", "/v1/organizations/a/budgets/b", "organizations/a/budgets/b"),
    ],
)
def test_a_template_matches_whole_paths(template: str, path: str, value: str | None) -> None:
    assert parse_template(template).match(path) == value


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/v1/organizations/acme", "/v1/organizations/acme"),
        (b"/v1/organizations/%61cme", "/v1/organizations/acme"),
        (b"/v1/organizations/acme%2Fbudgets", None),
        (b"/v1/organizations/acme%2fbudgets", None),
        (b"/v1/organizations/acme%3AcheckSpend", None),
        (b"/v1/organizations/%00", None),
        (b"/v1/organizations/%E4%BD%A0", None),
        (b"/v1/organizations/\xff", None),
        (b"/v1/%zz", None),
        (b"/v1/%2e%2e/x", "/v1/../x"),
    ],
)
def test_only_needless_escapes_are_resolved(raw: bytes, path: str | None) -> None:
    assert normalize(raw) == path


@pytest.mark.parametrize("template", ["/v1/{a=x/*}/{b=y/*}", "/v1/{a=**}", "/v1/*"])
def test_a_template_that_the_contract_does_not_use_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="unsupported"):
        parse_template(template)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.descriptor.name)
def test_every_rule_is_found_by_its_own_path(rule) -> None:  # type: ignore[no-untyped-def]
    path = rule.template.text.replace("{", "").replace("}", "").replace("*", "acme")
    path = path.replace(f"{rule.template.field}=", "")
    found, value = find(rule.http_method, path)
    assert (found.method, value) == (rule.method, value)


def test_another_method_on_a_known_path_names_those_it_knows() -> None:
    with pytest.raises(Refused) as refused:
        find("PUT", "/v1/organizations/acme/budgets/spending")
    assert refused.value.problem.headers == {"allow": "GET, HEAD, PATCH, DELETE"}
