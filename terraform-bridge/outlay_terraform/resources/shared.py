"""Attributes that several resources have."""

from typing import Final

from outlay_terraform import checks, names
from outlay_terraform.framework.schema import Attribute, Mode
from outlay_terraform.framework.types import STRING
from outlay_terraform.service import MANAGER

ORGANIZATION: Final = Attribute(
    name="organization",
    type=STRING,
    mode=Mode.REQUIRED,
    replaces=True,
    same=names.same_organization,
    checks=(checks.ORGANIZATION,),
    description="The organization it belongs to: its id (`acme`) or its name (`organizations/acme`). Another"
    " organization takes another resource.",
)

ORGANIZATION_IN_DATA: Final = "The organization: its id (`acme`) or its name (`organizations/acme`)."

DISPLAY_NAME: Final = Attribute(
    name="display_name",
    type=STRING,
    mode=Mode.DEFAULTED,
    default=lambda _planned, _config: "",
    checks=(checks.DISPLAY_NAME,),
    description="What people read. At most 128 characters. Default: empty.",
)

MANAGED_BY: Final = Attribute(
    name="managed_by",
    type=STRING,
    derived=lambda _planned: MANAGER,
    description="Who keeps it as code: `terraform` once this provider has made or changed it. What another manager"
    " keeps is not changed.",
)

CREATE_TIME: Final = Attribute(
    name="create_time", type=STRING, kept=True, description="When it was created, RFC 3339 in UTC."
)


def same_choice(one: str, other: str) -> bool:
    """`month` and `MONTH` are one choice."""
    return one.upper() == other.upper()
