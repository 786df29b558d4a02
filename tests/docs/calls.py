"""Calls to a server over HTTP with the platform key."""

import json
import urllib.request
from typing import Any

from support.server import ServerProcess


def call(server: ServerProcess, verb: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The answer's JSON; `path` is what follows `/v1/`. Raises urllib.error.HTTPError."""
    headers = {"authorization": f"Bearer {server.admin_key}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.http_url}/v1/{path}", data, headers, method=verb)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
