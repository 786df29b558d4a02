"""`docs/webhooks.md` says what the service does."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from standardwebhooks import WebhookVerificationError

from delivery.senders import SECRET
from docs import tables
from outlay_cli.main import cli
from outlay_server.delivery.sending import ATTEMPT_SECONDS, RETRY_AFTER_MAX_SECONDS
from outlay_server.delivery.worker import IN_FLIGHT_PER_ENDPOINT_MAX, IN_FLIGHT_PER_ORGANIZATION_MAX
from outlay_server.domain.event import TEST_EVENT_TYPE, EventType
from outlay_server.domain.webhook import THREE_DAYS
from outlay_server.server.delivery import DeliveryMetrics
from support.server import ServerProcess

PAGE = (tables.ROOT / "docs" / "webhooks.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line.strip()
]
RELAY = {"OUTLAY_SMTP_HOST": "127.0.0.1", "OUTLAY_SMTP_PORT": "9", "OUTLAY_SMTP_FROM": "outlay@example.org"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """With a relay, which is not there."""
    with ServerProcess(tmp_path_factory.mktemp("guide"), environment=RELAY) as process:
        yield process


def test_every_command_of_the_page_runs(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its order. What `test` meets is the network's affair: it says so either way."""
    monkeypatch.setenv("OUTLAY_ENDPOINT", server.grpc_address)
    monkeypatch.setenv("OUTLAY_API_KEY", server.admin_key)
    for command in ["outlay orgs create acme", *COMMANDS]:
        ran = CliRunner().invoke(cli, shlex.split(command)[1:], standalone_mode=False)
        assert ran.exception is None, f"{command}: {ran.output}"
    assert len(COMMANDS) == 6


def test_the_receiver_of_the_page_verifies() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(code.replace("whsec_…", SECRET), Path("webhooks.md"), "exec"), scope)
    receive = scope["receive"]
    assert callable(receive)
    with pytest.raises(WebhookVerificationError):
        receive(b"{}", {})


def test_every_type_of_event_has_its_row() -> None:
    stated = [tables.code(row[0]) for row in tables.rows("webhooks.md", "Events") if "." in row[0]]
    assert stated == [*(kind.value for kind in EventType), TEST_EVENT_TYPE]


def test_every_metric_has_its_row() -> None:
    metrics = DeliveryMetrics(None)  # type: ignore[arg-type]  # its store is not asked
    served = {family.name + ("_total" if family.type == "counter" else "") for family in metrics.collect()}
    stated = {tables.code(row[0]).partition("{")[0] for row in tables.rows("webhooks.md", "What to watch")}
    assert stated == served


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    assert THREE_DAYS.delays_seconds == (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800)
    assert "after 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 4 h and then every 8 h" in PAGE.replace("\n", " ")
    assert (ATTEMPT_SECONDS, RETRY_AFTER_MAX_SECONDS) == (15, 3_600)
    assert (IN_FLIGHT_PER_ENDPOINT_MAX, IN_FLIGHT_PER_ORGANIZATION_MAX) == (10, 40)
