"""Plans in files: what was planned is applied, by somebody else and later, or refused because something moved."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format

from outlay.v1.caps_pb2 import ApplyCapsRequest, ApplyCapsResponse
from outlay_sync.places import Places
from outlay_sync.planning import OrganizationPlan, Plan
from outlay_sync.problems import Place
from outlay_sync.variables import Variables

FORMAT: Final = "outlay-plan"
FORMAT_VERSION: Final = 1
FILE_MAX_BYTES: Final = 256 * 1024 * 1024
"""A plan of a thousand organizations; more is another file."""


class NoPlanError(ValueError):
    """The file is no plan, or one of another version."""


def write_plan(path: Path, plan: Plan) -> None:
    """Write what was planned, whole or not at all. Raises `OSError`."""
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "manager": plan.manager,
        "organizations": [_to_json(organization) for organization in plan.organizations],
    }
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(document, opened, indent=1)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def read_plan(path: Path) -> Plan:
    """The plan in a file, as it was shown when it was made. Raises `NoPlanError` and `OSError`."""
    with path.open("rb") as opened:
        content = opened.read(FILE_MAX_BYTES + 1)
    if len(content) > FILE_MAX_BYTES:
        raise NoPlanError("is larger than any plan")
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise NoPlanError("is no plan of `outlay plan --out`")
        if document["format_version"] != FORMAT_VERSION:
            raise NoPlanError(f"was written by another version of outlay (format {document['format_version']})")
        organizations = [_from_json(organization) for organization in document["organizations"]]
        return Plan(str(document["manager"]), organizations, ())
    except NoPlanError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, json_format.ParseError) as error:
        raise NoPlanError("is no plan of `outlay plan --out`") from error


def _to_json(plan: OrganizationPlan) -> dict[str, Any]:
    places = plan.places
    return {
        "name": plan.name,
        "request": json_format.MessageToDict(plan.request),
        "answer": json_format.MessageToDict(plan.answer),
        "variables": [[one.endpoint, one.uri, one.secret] for one in plan.variables],
        "place": _place_to_json(places.default),
        "resource_places": {name: _place_to_json(place) for name, place in places.by_resource.items()},
        "field_places": [
            [resource, path, _place_to_json(place)] for (resource, path), place in places.by_setting.items()
        ],
    }


def _from_json(document: Any) -> OrganizationPlan:
    places = Places(
        default=_place_from_json(document["place"]),
        by_resource={str(name): _place_from_json(place) for name, place in document["resource_places"].items()},
        by_setting={
            (str(resource), str(path)): _place_from_json(place) for resource, path, place in document["field_places"]
        },
    )
    request, answer = ApplyCapsRequest(), ApplyCapsResponse()
    json_format.ParseDict(document["request"], request)
    json_format.ParseDict(document["answer"], answer)
    variables = [Variables(str(name), _text(uri), _text(secret)) for name, uri, secret in document["variables"]]
    return OrganizationPlan(str(document["name"]), places, request, variables, answer)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _place_to_json(place: Place) -> Sequence[str | int]:
    return [place.file, place.line, place.column]


def _place_from_json(value: Any) -> Place:
    file, line, column = value
    return Place(str(file), int(line), int(column))
