"""`docs/rest.md` shows the shapes that the faces have."""

import json
import re
from typing import Any

from docs import tables
from outlay.v1 import budget_pb2, organization_pb2
from outlay_rest import denial, problems
from outlay_rest.answers import problem_response
from outlay_rest.faces import spending_caps, usage_budget
from outlay_rest.problems import Problem

PAGE = (tables.DOCS / "rest.md").read_text()
CENT, USD = 10_000, 1_000_000


def _shown() -> list[Any]:
    """Every JSON block of the page, in order."""
    return [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]


def test_an_error_looks_as_it_is_shown() -> None:
    name = "organizations/acme/budgets/none"
    problem = Problem(404, "NOT_FOUND", "NOT_FOUND", f"{name} was not found.", {"resource": name})
    assert json.loads(problem_response(problem, "c0ffee").body) == _shown()[0]


def test_the_answer_of_the_spending_caps_is_the_one_that_is_shown() -> None:
    budget = budget_pb2.Budget(
        budget_micros=100 * USD,
        hard_cap_micros=500 * USD,
        hard_cap_enabled=True,
        alert_thresholds=budget_pb2.AlertThresholds(percents=[75, 100]),
        alerts_enabled=True,
        spend=budget_pb2.BudgetSpend(spent_micros=23_450 * CENT, alerts_sent=[75, 100]),
    )
    assert spending_caps.spending_caps_of(budget) == _shown()[1]


def test_the_answer_of_the_usage_budget_is_the_one_that_is_shown() -> None:
    budget = budget_pb2.Budget(
        hard_cap_micros=50_000 * USD,
        hard_cap_enabled=True,
        allotment_micros=100_000 * USD,
        alert_thresholds=budget_pb2.AlertThresholds(percents=[75, 90]),
    )
    data = usage_budget.usage_budget_of(budget, organization_pb2.Organization(), None)
    assert {"success": True, "data": data} == _shown()[2]


def test_every_key_of_the_bodies_is_explained() -> None:
    explained = {tables.code(row[0]) for row in tables.rows("rest.md", "The two published faces")}
    assert explained == {*spending_caps.KEYS, *usage_budget.KEYS}


def test_every_code_of_a_denial_is_named() -> None:
    named = {code for row in tables.rows("rest.md", "Answers") for code in re.findall(r"`([A-Z_]+)`", row[2])}
    assert named >= set(denial.DENIAL_CODES)


def test_every_status_is_explained() -> None:
    explained = {int(row[0]) for row in tables.rows("rest.md", "Errors")}
    # 200 and 499 are no errors that a caller sees.
    assert explained >= set(problems.HTTP_STATUS.values()) - {200, 499}
