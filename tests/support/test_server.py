"""The harness around the server reads its listening lines and ends it, whatever the server does."""

from pathlib import Path

import pytest

from support import server as server_support
from support.server import ServerProcess

_STAND_IN = """#!/bin/sh
echo "$@" >&2
echo "gRPC ${OUTLAY_GRPC_ADDRESS%:0}:5${OUTLAY_TEST_DIGIT}"
echo "HTTP http://127.0.0.1:61"
echo "metrics http://127.0.0.1:71/metrics"
printf 'sk_made' > "$OUTLAY_DATA_DIR/admin.key"
[ -n "$OUTLAY_TEST_FAIL" ] && { echo "cannot start" >&2; exit 3; }
echo ready
trap 'exit 0' TERM
while :; do sleep 0.05; done
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that behaves as `outlay serve` does at its start and end, and serves nothing."""
    program = tmp_path / "outlay"
    program.write_text(_STAND_IN)
    program.chmod(0o755)
    monkeypatch.setattr(server_support, "OUTLAY", program)
    return tmp_path / "data"


def test_the_addresses_are_those_that_the_server_printed(stand_in: Path) -> None:
    with ServerProcess(stand_in, environment={"OUTLAY_TEST_DIGIT": "1"}) as process:
        found = (process.grpc_address, process.http_url, process.metrics_url, process.admin_key)
    assert found == ("127.0.0.1:51", "http://127.0.0.1:61", "http://127.0.0.1:71/metrics", "sk_made")


def test_a_server_that_does_not_start_is_an_error_with_its_log(stand_in: Path) -> None:
    process = ServerProcess(stand_in, environment={"OUTLAY_TEST_FAIL": "1", "OUTLAY_TEST_DIGIT": "1"})
    with pytest.raises(RuntimeError, match=r"ended with 3(.|\n)*cannot start"):
        process.start()
    process.close()


def test_it_can_be_stopped_killed_and_started_again(stand_in: Path) -> None:
    with ServerProcess(stand_in, environment={"OUTLAY_TEST_DIGIT": ""}) as process:
        status = process.terminate()
        alive = [process.running, process.restart().running]
        process.kill9()
        alive += [process.running, process.restart().running]
    alive.append(process.running)
    assert (status, alive) == (0, [False, True, False, True, False])
