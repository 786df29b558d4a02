"""A provider in this process, to which Terraform connects instead of starting one: for tests and for debuggers."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from outlay_terraform.framework.lifecycle import Lifecycle
from outlay_terraform.wire.handshake import PROTOCOL_VERSION
from outlay_terraform.wire.server import PluginServer


@contextmanager
def reattachable(lifecycle: Lifecycle[Any], address: str) -> Iterator[dict[str, str]]:
    """Serve while the context lasts; gives the environment that makes Terraform use this process.

    `address` is that of the provider, such as `registry.terraform.io/outlay/outlay`. The socket is not encrypted; its
    directory is open to its owner only.
    """
    folder = Path(tempfile.mkdtemp(prefix="outlay-plugin-"))
    socket = str(folder / "provider.sock")
    server = PluginServer(lifecycle, socket, None)
    server.start()
    where = {
        "Protocol": "grpc",
        "ProtocolVersion": PROTOCOL_VERSION,
        "Pid": os.getpid(),
        # Terraform must not end this process with its run.
        "Test": True,
        "Addr": {"Network": "unix", "String": socket},
    }
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({address: where})}
    finally:
        server.stop(0)
        shutil.rmtree(folder, ignore_errors=True)
