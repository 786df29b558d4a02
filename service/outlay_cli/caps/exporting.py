"""Exporting: reading what exists, and writing it as files."""

from collections.abc import Sequence
from pathlib import Path

import click

from outlay.v1.organization_pb2 import Organization
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint
from outlay_cli.caps import service
from outlay_cli.caps.service import GrpcService
from outlay_cli.errors import CommandFailed
from outlay_cli.exits import ExitCode
from outlay_cli.text import printable
from outlay_server.domain.amounts import format_micros
from outlay_sync import schema, writing
from outlay_sync.desired import DEFAULT_SOURCE
from outlay_sync.fields import source_violation
from outlay_sync.service import CallFailedError

_SOURCE_FILE = "source.yaml"


def export(
    organization_ids: Sequence[str], folder: Path, source: str, *, overwrite: bool, include_foreign: bool
) -> ExitCode:
    """Write the files of some organizations, or of all that the key reaches."""
    source = source or DEFAULT_SOURCE
    if (violation := source_violation(source)) is not None:
        raise click.BadParameter(violation, param_hint="--source")
    contents = {_SOURCE_FILE: writing.source_file(source), schema.FILE_NAME: schema.schema_bytes().decode()}
    left_out: list[tuple[str, str]] = []
    with service.connect() as connected:
        try:
            organizations, is_platform = _find(connected, organization_ids)
            for organization in organizations:
                name = organization.name.rpartition("/")[2]
                keeps = _Keeping(f"yaml:{source}", include_foreign, left_out)
                contents[f"{name}.yaml"] = _organization_file(connected, organization, keeps, is_platform=is_platform)
        except CallFailedError as error:
            raise CommandFailed(error.message) from error
    _write(folder, contents, overwrite=overwrite)
    for resource, manager in left_out:
        click.echo(printable(f"{resource} is kept by {manager} and was left out."), err=True)
    return ExitCode.DONE


class _Keeping:
    """Decides what these files may keep, and notes what they may not."""

    def __init__(self, manager: str, include_foreign: bool, left_out: list[tuple[str, str]]) -> None:
        self._manager = manager
        self._include_foreign = include_foreign
        self._left_out = left_out

    def keeps(self, resource: str, managed_by: str) -> bool:
        if managed_by in ("", self._manager) or self._include_foreign:
            return True
        self._left_out.append((resource, managed_by))
        return False


def _find(connected: GrpcService, ids: Sequence[str]) -> tuple[list[Organization], bool]:
    """The organizations, and whether the key is a platform key, which may change their own settings."""
    try:
        every = connected.list_organizations()
    except CallFailedError as error:
        if error.reason != "MISSING_SCOPE":
            raise
        return [connected.get_organization(f"organizations/{id}") for id in ids or ("-",)], False
    if not ids:
        return every, True
    return [connected.get_organization(f"organizations/{id}") for id in ids], True


def _organization_file(
    connected: GrpcService, organization: Organization, keeping: _Keeping, *, is_platform: bool
) -> str:
    budgets = [one for one in connected.list_budgets(organization.name) if keeping.keeps(one.name, one.managed_by)]
    endpoints = [one for one in _endpoints(connected, organization) if keeping.keeps(one.name, one.managed_by)]
    for endpoint in endpoints:
        if (variable := writing.uri_variable(endpoint)) is not None:
            click.echo(printable(f"Set {variable} to the URI of {endpoint.name}: it opens its receiver."), err=True)
    with_settings = is_platform and keeping.keeps(organization.name, organization.managed_by)
    return writing.organization_file(organization, budgets, endpoints, format_micros, with_settings=with_settings)


def _endpoints(connected: GrpcService, organization: Organization) -> list[WebhookEndpoint]:
    """Those that the key may read."""
    try:
        return connected.list_webhook_endpoints(organization.name)
    except CallFailedError as error:
        if error.reason != "MISSING_SCOPE":
            raise
        return []


def _write(folder: Path, contents: dict[str, str], *, overwrite: bool) -> None:
    existing = [name for name in contents if (folder / name).exists() and name != schema.FILE_NAME]
    if existing and not overwrite:
        raise CommandFailed(
            f"{', '.join(str(folder / name) for name in existing)} exist; --overwrite writes over them."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{folder} cannot be written: {error.strerror}.") from error
    click.echo(f"Wrote {folder}: {', '.join(sorted(contents))}.")
