"""Names of resources, and the shorter ways to write them."""

from outlay_terraform.framework.diagnostics import Failure, error
from outlay_terraform.framework.schema import known
from outlay_terraform.framework.values import UNKNOWN, Value, Values

_ORGANIZATIONS = "organizations/"


def organization_name(text: str) -> str:
    """`organizations/acme`, of `acme` or of itself."""
    return text if text.startswith(_ORGANIZATIONS) else f"{_ORGANIZATIONS}{text}"


def organization_id(text: str) -> str:
    """`acme`, of `organizations/acme` or of itself."""
    return text.removeprefix(_ORGANIZATIONS)


def same_organization(one: str, other: str) -> bool:
    return organization_id(one) == organization_id(other)


def child(organization: str, collection: str, resource_id: str) -> str:
    """`organizations/acme/budgets/spending`."""
    return f"{organization_name(organization)}/{collection}/{resource_id}"


def parent(name: str) -> str:
    """`organizations/acme`, of `organizations/acme/budgets/spending`."""
    return "/".join(name.split("/", 2)[:2])


def child_if_known(planned: Values, collection: str, id_attribute: str) -> Value:
    """The name of a planned resource, where its parts are known."""
    organization, resource_id = planned["organization"], planned[id_attribute]
    if known(organization) and known(resource_id):
        return child(organization, collection, resource_id)
    return UNKNOWN


def parsed_child(import_id: str, collection: str, what: str) -> tuple[str, str]:
    """The ids of the organization and of the resource that an import id names. Raises `Failure`."""
    match import_id.split("/"):
        case [organization, resource_id] if organization and resource_id:
            return organization, resource_id
        case ["organizations", organization, given, resource_id] if (
            given == collection and organization and resource_id
        ):
            return organization, resource_id
    raise Failure(
        error(
            "Invalid import id",
            f"{import_id!r} names no {what}: write organizations/acme/{collection}/NAME, or acme/NAME.",
        )
    )


def parsed_organization(import_id: str) -> str:
    """The id of the organization that an import id names. Raises `Failure`."""
    given = organization_id(import_id)
    if not given or "/" in given:
        raise Failure(
            error("Invalid import id", f"{import_id!r} names no organization: write organizations/acme, or acme.")
        )
    return given
