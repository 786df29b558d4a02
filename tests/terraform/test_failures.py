"""Where in a block a field stands that the service complains of."""

import pytest

from outlay_terraform.failures import located
from outlay_terraform.framework.diagnostics import Key, Path
from outlay_terraform.resources.budget_schema import FIELD_PATHS


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("budget.hard_cap_micros", ("hard_cap",)),
        ("budget_id", ("budget_id",)),
        ("budget.alert_thresholds.percents[2]", ("alert_thresholds", 2)),
        ("budget.cycle.time_zone", ("cycle", "time_zone")),
        ("budget.selector['team']", ("selector", Key("team"))),
        ("budget.selector_of_another_day", ()),
        ("update_mask.paths[0]", ()),
    ],
)
def test_a_field_of_the_service_is_an_attribute(field: str, path: Path) -> None:
    """By the longest name that is known; what is of no attribute is of the block."""
    assert located(field, FIELD_PATHS) == path
