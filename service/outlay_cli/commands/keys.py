"""`outlay keys`: API keys."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1.api_key_pb2 import ApiKey
from outlay_cli import options, output, remote, text
from outlay_cli.errors import CommandFailed
from outlay_server.domain.api_key import ORGANIZATION_SCOPES, SECRET_BYTES, assemble

_KEY_FILE_MODE = 0o600


@click.group()
def keys() -> None:
    """API keys."""


@keys.command("list")
@options.organization_option
@options.limit_option
@options.output_option
def list_keys(organization: str, limit: int, output: str) -> None:
    """List an organization's keys, newest first; never a secret."""
    with remote.connect() as service:

        def fetch(page_size: int, page_token: str) -> tuple[list[ApiKey], str]:
            request = pb.ListApiKeysRequest(
                parent=f"organizations/{organization}", page_size=page_size, page_token=page_token
            )
            page = service.call(service.admin.ListApiKeys, request)
            return list(page.api_keys), page.next_page_token

        found, has_more = remote.collect(fetch, limit)
    show_list(found, output, has_more=has_more)


@keys.command()
@options.organization_option
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(sorted(scope.value for scope in ORGANIZATION_SCOPES)),
    help="What the key may do; once for each scope.",
)
@click.option("--display-name", default="", help="What people read.")
@click.option("--expires-in", type=options.duration, help="When it stops working by itself, such as 90d.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    help="Write the key to this new file, mode 0600, and do not show it.",
)
@options.request_id_option
@options.output_option
def create(
    organization: str,
    scopes: Sequence[str],
    display_name: str,
    expires_in: timedelta | None,
    secret_file: Path | None,
    request_id: str,
    output: str,
) -> None:
    """Make a key. Its secret is shown this once."""
    api_key = ApiKey(display_name=display_name, scopes=scopes)
    if expires_in is not None:
        api_key.expire_time.FromDatetime(datetime.now(UTC) + expires_in)
    opened = _new_key_file(secret_file) if secret_file is not None else None
    try:
        with remote.connect() as service:
            request = pb.CreateApiKeyRequest(
                parent=f"organizations/{organization}",
                api_key=api_key,
                request_id=request_id or remote.new_request_id(),
            )
            created = service.call(service.admin.CreateApiKey, request)
        if opened is not None and created.secret:
            os.write(opened, f"{created.secret}\n".encode())
            created.secret = ""
    except BaseException:
        if secret_file is not None:
            secret_file.unlink()
        raise
    finally:
        if opened is not None:
            os.close(opened)
    show(created, output)
    if not created.secret and secret_file is None:
        click.echo("This request id made the key before; its secret is not shown again.", err=True)


@keys.command()
@click.argument("key")
@options.organization_option
@options.request_id_option
@options.output_option
def revoke(key: str, organization: str, request_id: str, output: str) -> None:
    """Make a key useless for good, within a second on every replica. KEY is its id or its name, not its secret."""
    if key.startswith("sk_"):
        raise click.UsageError("That is a secret. Name the key by its id, from `outlay keys list`.")
    with remote.connect() as service:
        request = pb.RevokeApiKeyRequest(
            name=options.child_name(organization, "apiKeys", key), request_id=request_id or remote.new_request_id()
        )
        revoked = service.call(service.admin.RevokeApiKey, request)
    show(revoked, output)


@keys.command()
@click.option("--secret-file", type=click.Path(path_type=Path), help="Write it to this new file, mode 0600, instead.")
def generate(secret_file: Path | None) -> None:
    """Make a key for OUTLAY_ADMIN_KEY, offline."""
    secret = assemble(os.urandom(SECRET_BYTES))
    if secret_file is None:
        click.echo(secret)
        return
    opened = _new_key_file(secret_file)
    try:
        os.write(opened, f"{secret}\n".encode())
    finally:
        os.close(opened)


def _new_key_file(path: Path) -> int:
    """Create the file before the key is made: a key that cannot be kept must not exist."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _KEY_FILE_MODE)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be created: {error.strerror}.") from error


def show_list(found: list[ApiKey], form: str, *, has_more: bool) -> None:
    """Print keys."""
    if form == "json":
        output.print_list(found, key="api_keys", has_more=has_more)
        return
    rows = [
        (
            text.last_segment(one.name),
            f"…{one.last_four}",
            " ".join(one.scopes),
            _state(one),
            text.instant(one.last_used_time),
            one.display_name,
        )
        for one in found
    ]
    output.print_table(("KEY", "ENDS IN", "SCOPES", "STATE", "LAST USED", "DISPLAY NAME"), rows, has_more=has_more)


def show(key: ApiKey, form: str) -> None:
    """Print one key, with its secret where the answer holds one."""
    if form == "json":
        output.print_json({"api_key": output.to_json(key)})
        return
    output.print_details(
        [
            ("name", key.name),
            ("display name", key.display_name),
            ("scopes", " ".join(key.scopes)),
            ("secret", key.secret),
            ("ends in", key.last_four),
            ("created", text.instant(key.create_time)),
            ("last used", text.instant(key.last_used_time)),
            ("expires", text.instant(key.expire_time)),
            ("revoked", text.instant(key.revoke_time)),
        ]
    )


def _state(key: ApiKey) -> str:
    if key.HasField("revoke_time"):
        return "revoked"
    if key.HasField("expire_time"):
        expired = key.expire_time.ToDatetime(UTC) <= datetime.now(UTC)
        return "expired" if expired else f"until {text.instant(key.expire_time)}"
    return "active"
