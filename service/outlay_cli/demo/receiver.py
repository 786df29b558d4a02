"""A receiver of webhooks, as somebody would write one: it takes a message once it has verified who signed it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

BODY_MAX_BYTES: Final = 256 * 1024


class Receiver:
    """A server on a free port of loopback while the context lasts. `trust` the secret of the endpoint first."""

    def __init__(self) -> None:
        self.verified: dict[str, dict[str, Any]] = {}
        """By message id, in the order of arrival: a message that comes twice is one."""
        self.refused = 0
        self._secret: Webhook | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where messages are posted to."""
        return f"http://127.0.0.1:{self._server.server_port}/alerts"

    def trust(self, secret: str) -> None:
        """Take what is signed with this secret, and nothing else."""
        self._secret = Webhook(secret)

    def thresholds(self, organization: str) -> set[int]:
        """The percents that verified alerts of an organization told of."""
        return {
            percent
            for message in list(self.verified.values())
            if message["data"]["organization"] == f"organizations/{organization}"
            for percent in message["data"].get("thresholds_percent", ())
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def receive(self, body: bytes, headers: dict[str, str]) -> int:
        """The status to answer with: 204 for a message that is what it says it is, else 401."""
        try:
            if self._secret is None:
                raise WebhookVerificationError("no secret yet")
            message = self._secret.verify(body, headers)
        except WebhookVerificationError:
            self.refused += 1
            return 401
        self.verified.setdefault({name.lower(): value for name, value in headers.items()}["webhook-id"], message)
        return 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                body = self.rfile.read(min(length, BODY_MAX_BYTES))
                self.send_response(receiver.receive(body, dict(self.headers.items())))
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # its name there
                """Nothing: what is worth a line is on the screen."""

        return Handler
