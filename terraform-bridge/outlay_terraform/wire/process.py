"""A provider as a process that Terraform starts and ends."""

import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from outlay_terraform.framework.lifecycle import Lifecycle
from outlay_terraform.wire import handshake, log
from outlay_terraform.wire.server import PluginServer

logger: Final = logging.getLogger("outlay.terraform")

_GRACE_SECONDS: Final = 1.5
"""For calls that still run when Terraform says goodbye; it kills what is there after two seconds."""

_ORPHAN_GRACE_SECONDS: Final = 20.0
"""For calls that still run when Terraform was killed: what was sent to the service is better finished than cut."""

_PARENT_POLL_SECONDS: Final = 0.25


def run(new_lifecycle: Callable[[], Lifecycle[Any]]) -> int:
    """Serve until Terraform has no more use for the process; the exit status."""
    try:
        handshake.ensure_started_by_terraform()
    except handshake.NotStartedByTerraform as error:
        print(error, file=sys.stderr)
        return 1
    parent = os.getppid()
    say = _reserve_stdout()
    log.set_up()
    # Ctrl-C reaches the whole process group. Terraform waits for what it has begun, and ends the provider itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = Path(tempfile.mkdtemp(prefix="outlay-plugin-"))  # with mode 0700
    try:
        socket = str(folder / "provider.sock")
        identity = handshake.new_identity(datetime.now(UTC)) if handshake.wants_tls() else None
        server = PluginServer(new_lifecycle(), socket, identity.credentials if identity else None)
        server.start()
        say(handshake.line(socket, identity.certificate_der if identity else b""))
        return _serve(server, parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(server: PluginServer, parent: int) -> int:
    while not server.shutdown_wanted.wait(_PARENT_POLL_SECONDS):
        if os.getppid() != parent:
            logger.warning("terraform is gone")
            server.stop(_ORPHAN_GRACE_SECONDS)
            return 1
    server.stop(_GRACE_SECONDS)
    return 0


def _reserve_stdout() -> Callable[[str], None]:
    """Keep standard output for the one line that Terraform waits for.

    From here on descriptor 1 is standard error, so that no print of any library can be taken for that line.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)

    def say(text: str) -> None:
        os.write(kept, f"{text}\n".encode())

    return say
