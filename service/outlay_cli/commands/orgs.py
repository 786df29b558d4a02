"""`outlay orgs`: organizations and their gates. The platform key is needed."""

import click

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1.organization_pb2 import Gate, Organization
from outlay_cli import options, output, remote, text
from outlay_cli.confirm import ask_first
from outlay_cli.errors import CommandFailed


@click.group()
def orgs() -> None:
    """Organizations and their gates."""


@orgs.command("list")
@options.limit_option
@options.output_option
def list_organizations(limit: int, output: str) -> None:
    """List organizations, by id."""
    with remote.connect() as service:

        def fetch(page_size: int, page_token: str) -> tuple[list[Organization], str]:
            request = pb.ListOrganizationsRequest(page_size=page_size, page_token=page_token)
            page = service.call(service.admin.ListOrganizations, request)
            return list(page.organizations), page.next_page_token

        found, has_more = remote.collect(fetch, limit)
    show_list(found, output, has_more=has_more)


@orgs.command()
@click.argument("organization", type=options.organization)
@options.output_option
def get(organization: str, output: str) -> None:
    """Show one organization."""
    with remote.connect() as service:
        request = pb.GetOrganizationRequest(name=f"organizations/{organization}")
        found = service.call(service.admin.GetOrganization, request)
    show(found, output)


@orgs.command()
@click.argument("organization", type=options.organization)
@click.option("--display-name", default="", help="What people read.")
@options.request_id_option
@options.output_option
def create(organization: str, display_name: str, request_id: str, output: str) -> None:
    """Create an organization, with the budgets `spending` and `credits` and the gate `opus`."""
    with remote.connect() as service:
        request = pb.CreateOrganizationRequest(
            organization_id=organization,
            organization=Organization(display_name=display_name),
            request_id=request_id or remote.new_request_id(),
        )
        created = service.call(service.admin.CreateOrganization, request)
    show(created, output)


@orgs.command()
@click.argument("organization", type=options.organization)
@click.option("--display-name", help="What people read.")
@click.option("--managed-by", help="Who keeps it as code; empty for nobody.")
@options.override_manager_option
@options.request_id_option
@options.output_option
def update(
    organization: str,
    display_name: str | None,
    managed_by: str | None,
    override_manager: bool,
    request_id: str,
    output: str,
) -> None:
    """Change an organization's settings."""
    changes = {"display_name": display_name, "managed_by": managed_by}
    given = {field: value for field, value in changes.items() if value is not None}
    if not given:
        raise click.UsageError("Nothing to change: give --display-name or --managed-by.")
    settings = Organization(name=f"organizations/{organization}")
    for field, value in given.items():
        setattr(settings, field, value)
    request = pb.UpdateOrganizationRequest(
        organization=settings,
        request_id=request_id or remote.new_request_id(),
        override_manager=override_manager,
    )
    request.update_mask.paths.extend(given)
    with remote.connect() as service:
        updated = service.call(service.admin.UpdateOrganization, request)
    show(updated, output)


@orgs.command()
@click.argument("organization", type=options.organization)
@click.option("--force", is_flag=True, help="Although reservations are open.")
@options.override_manager_option
@options.yes_option
@options.request_id_option
def delete(organization: str, force: bool, override_manager: bool, yes: bool, request_id: str) -> None:
    """Delete an organization for good: its keys stop working, and its id is not given again."""
    ask_first(
        f"Deleting {organization} stops its keys for good; its ledger and audit stay, its id cannot be used again.",
        assume_yes=yes,
    )
    with remote.connect() as service:
        request = pb.DeleteOrganizationRequest(
            name=f"organizations/{organization}",
            force=force,
            override_manager=override_manager,
            request_id=request_id or remote.new_request_id(),
        )
        service.call(service.admin.DeleteOrganization, request)


@orgs.command()
@click.argument("organization", type=options.organization)
@click.argument("gate")
@click.option("--enable/--disable", "enabled", default=None, help="Whether matching spend may pass.")
@click.option("--label", help="The label that a new gate looks at, such as model.")
@click.option("--pattern", help="The value that a new gate matches; a trailing * matches a prefix.")
@click.option("--remove", is_flag=True, help="Remove the gate, so that it refuses nothing.")
@options.override_manager_option
@options.request_id_option
@options.output_option
def gate(
    organization: str,
    gate: str,
    enabled: bool | None,
    label: str | None,
    pattern: str | None,
    remove: bool,
    override_manager: bool,
    request_id: str,
    output: str,
) -> None:
    """Switch a gate on or off, or add one with --label and --pattern."""
    if remove == any(value is not None for value in (enabled, label, pattern)):
        raise click.UsageError("Give --enable or --disable, --label and --pattern for a new gate, or --remove alone.")
    with remote.connect() as service:
        name = f"organizations/{organization}"
        before = service.call(service.admin.GetOrganization, pb.GetOrganizationRequest(name=name))
        gates = {known.gate_id: known for known in before.gates}
        if remove:
            if gates.pop(gate, None) is None:
                raise CommandFailed(f"NOT_FOUND: {organization} has no gate {gate}.")
        else:
            gates[gate] = _changed(gates.get(gate), gate, enabled, label, pattern)
        # The list is replaced as a whole, so the etag of what was read keeps a change made meanwhile from being lost.
        request = pb.UpdateOrganizationRequest(
            organization=Organization(name=name, gates=gates.values(), etag=before.etag),
            request_id=request_id or remote.new_request_id(),
            override_manager=override_manager,
        )
        request.update_mask.paths.append("gates")
        updated = service.call(service.admin.UpdateOrganization, request)
    show(updated, output)


def _changed(known: Gate | None, id: str, enabled: bool | None, label: str | None, pattern: str | None) -> Gate:
    if known is None and (label is None or pattern is None):
        raise CommandFailed(f"NOT_FOUND: there is no gate {id}; a new one needs --label and --pattern.")
    old = known or Gate()
    return Gate(
        gate_id=id,
        label=old.label if label is None else label,
        pattern=old.pattern if pattern is None else pattern,
        enabled=old.enabled if enabled is None else enabled,
    )


def show_list(found: list[Organization], form: str, *, has_more: bool) -> None:
    """Print organizations."""
    if form == "json":
        output.print_list(found, key="organizations", has_more=has_more)
        return
    rows = [
        (text.last_segment(one.name), one.display_name, _gates(one), text.instant(one.create_time)) for one in found
    ]
    output.print_table(("ORGANIZATION", "DISPLAY NAME", "GATES", "CREATED"), rows, has_more=has_more)


def show(organization: Organization, form: str) -> None:
    """Print one organization."""
    if form == "json":
        output.print_json({"organization": output.to_json(organization)})
        return
    output.print_details(
        [
            ("name", organization.name),
            ("display name", organization.display_name),
            *((f"gate {one.gate_id}", f"{_state(one)}, {one.label}={one.pattern}") for one in organization.gates),
            ("managed by", organization.managed_by),
            ("created", text.instant(organization.create_time)),
            ("updated", text.instant(organization.update_time)),
            ("etag", organization.etag),
        ]
    )


def _gates(organization: Organization) -> str:
    return " ".join(f"{one.gate_id}={_state(one)}" for one in organization.gates)


def _state(gate: Gate) -> str:
    return "on" if gate.enabled else "off"
