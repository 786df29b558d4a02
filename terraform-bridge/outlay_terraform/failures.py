"""How errors of the service are told to people: what happened, where in their configuration, and what to do."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from outlay_client.errors import OutlayRpcError, Unavailable
from outlay_terraform.framework.diagnostics import Diagnostic, Failure, Key, Path, error, written
from outlay_terraform.service import MANAGER

PathOf = Callable[[str], Path]

_REST: Final = re.compile(r"\.([a-z_]+)|\[([0-9]+)\]|\[(.*?)\]")


def told(raised: Exception, path_of: PathOf) -> Failure | None:
    """The failure that an error of the service is; None for what is no error of the service."""
    match raised:
        case Unavailable():
            detail = f"{raised}\n\nTry again when it answers: nothing is done twice."
            return Failure(error("The service is away", detail), effect_unknown=raised.effect_unknown)
        case OutlayRpcError():
            return Failure(*_diagnostics(raised, path_of))
    return None


def already_exists(type_name: str, name: str) -> Failure:
    """The id is taken by something that Terraform does not keep in this state."""
    return Failure(
        error(
            "Already exists",
            f"{name} is there already, and not in this state. Import it with\n\n"
            f"  terraform import {type_name}.NAME {name}\n\n"
            f'or with a block: import {{ to = {type_name}.NAME, id = "{name}" }}. An interrupted run of Terraform may'
            " have made it; what is imported is not made anew.",
        )
    )


def changed_outside(name: str) -> Failure:
    return Failure(
        error("Changed outside Terraform", f"{name} was changed after this plan was made. Plan again, then decide.")
    )


def kept_elsewhere(name: str, managed_by: str) -> Diagnostic:
    return error(
        "Kept as code elsewhere",
        f"{name} is kept by {managed_by!r}, which would undo this change. Change it there; or take it over, by"
        " removing it there first and then clearing its managed_by (outlay budgets set NAME --managed-by ''"
        " --override-manager, outlay orgs update NAME --managed-by '' --override-manager).",
    )


def unless_kept_elsewhere(name: str, managed_by: str) -> Iterator[Diagnostic]:
    """The error that a change of it would be answered, already in the plan."""
    if managed_by not in ("", MANAGER):
        yield kept_elsewhere(name, managed_by)


def located(field: str, prefixes: Mapping[str, Path]) -> Path:
    """The path of a field of the service, by the longest prefix that is known, and whatever follows it."""
    for end in sorted((each for each in prefixes if field.startswith(each)), key=len, reverse=True):
        rest = field[len(end) :]
        if rest and rest[0] not in ".[":
            continue
        return (*prefixes[end], *_steps(rest))
    return ()


def _steps(rest: str) -> Iterator[str | int | Key]:
    for name, index, key in _REST.findall(rest):
        if name:
            yield name
        elif index:
            yield int(index)
        else:
            # The service quotes what a caller wrote.
            yield Key(key.strip("'\""))


def _diagnostics(raised: OutlayRpcError, path_of: PathOf) -> Iterator[Diagnostic]:
    facts = raised.facts
    match raised.reason:
        case "VALIDATION_FAILED" if raised.violations:
            for violation in raised.violations:
                path = path_of(violation.field)
                where = written(path) or violation.field
                yield error("Refused by the service", f"{where} {violation.description}", path)
        case "INVALID_API_KEY":
            yield error("The API key was refused", "It is unknown, expired or revoked. Set api_key, or OUTLAY_API_KEY.")
        case "MISSING_SCOPE":
            scopes = facts.get("required_scope", "").split(",")
            key = "the platform key" if scopes == ["admin"] else f"a key with the scope {' or '.join(scopes)}"
            yield error("The API key lacks a scope", f"{raised}\n\nThis takes {key}.")
        case "NOT_FOUND":
            yield error("Not found", f"There is no {facts.get('resource', 'such resource')} that this key can see.")
        case "MANAGED_ELSEWHERE":
            yield kept_elsewhere("The resource", facts.get("managed_by", "another manager"))
        case "ETAG_MISMATCH":
            yield error(
                "Changed outside Terraform", "It was changed after this plan was made. Plan again, then decide."
            )
        case "OPEN_RESERVATIONS":
            yield error(
                "Reservations are open",
                f"{facts.get('count', 'Some')} reservations are still held against it. Wait until they are settled or"
                " expire, or delete it with `outlay … delete --force`; Terraform then finds it gone.",
            )
        case _:
            yield error("The service refused", str(raised))
