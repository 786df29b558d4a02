"""One request to the console: who asks, what the service answers, and the page that comes of it."""

import asyncio
import functools
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import jinja2
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from outlay_rest.answers import SECURITY_HEADERS
from outlay_rest.bodies import read_body
from outlay_rest.calls import Call
from outlay_rest.console import figures
from outlay_rest.metadata import REQUEST_ID_HEADER
from outlay_rest.problems import Problem, Violation, invalid

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from elsewhere."""

COMPRESSED_FROM_BYTES: Final = 1_024
_COMPRESSION: Final = 5
"""A list of 1,000 budgets is 340 KB of text that says the same a thousand times."""

_PIECES_AT_ONCE: Final = 500
"""About 25 rows of a table, a millisecond or two."""

FORM_MAX_BYTES: Final = 64 * 1024
FORM_FIELDS_MAX: Final = 100

BUDGETS: Final = "/outlay.v1.BudgetService/"
ADMIN: Final = "/outlay.v1.AdminService/"


@dataclass(frozen=True, slots=True)
class Visit:
    """What a page is made from."""

    request: Request
    call: Call
    key: str
    correlation_id: str

    @property
    def headers(self) -> dict[str, str]:
        """What a call is made with."""
        return {"authorization": f"Bearer {self.key}", REQUEST_ID_HEADER: self.correlation_id}

    async def ask(self, method: str, request: Message) -> Any:
        """The answer to a method, by its path. Raises `CallFailed`."""
        answer, _ = await self.call(method, request, self.headers, None)
        return answer

    async def form(self) -> dict[str, str]:
        """What was sent. Raises `Refused`; of a field that is there twice the last counts."""
        body = await read_body(self.request, FORM_MAX_BYTES)
        try:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                max_num_fields=FORM_FIELDS_MAX,
                encoding="utf-8",
                errors="strict",
            )
        except ValueError:
            raise invalid([Violation("", "the body is no form")]) from None
        return {name: value.strip() for name, value in pairs}

    def organization(self) -> str:
        """The organization that the path names."""
        return f"organizations/{self.request.path_params['organization']}"

    async def page(self, template: str, *, status: int = 200, **content: Any) -> Response:
        """A page of this console. Checks that wait in the same loop are answered while a long one is made."""
        organization = self.request.path_params.get("organization", "")
        pieces = []
        for piece in (
            _templates()
            .get_template(template)
            .generate(
                refusal=refusal,
                organization=organization,
                here=self.request.url.path,
                signed_in=bool(self.key),
                **content,
            )
        ):
            pieces.append(piece)
            if len(pieces) % _PIECES_AT_ONCE == 0:
                await asyncio.sleep(0)
        headers = {
            **SECURITY_HEADERS,
            "content-security-policy": PAGE_POLICY,
            # Without it browsers hide from their own server where a form came from.
            "referrer-policy": "same-origin",
            REQUEST_ID_HEADER: self.correlation_id,
        }
        body = "".join(pieces).encode()
        # What a form answers may show a secret beside what was sent, and lengths tell of such pages: those stay as is.
        if self.request.method == "GET" and len(body) >= COMPRESSED_FROM_BYTES and accepts_gzip(self.request):
            body, headers["content-encoding"] = gzip.compress(body, _COMPRESSION), "gzip"
        headers["vary"] = "accept-encoding"
        return Response(body, status_code=status, media_type="text/html", headers=headers)


def accepts_gzip(request: Request) -> bool:
    """Whether the browser says so, in the plain words that browsers use."""
    offered = request.headers.get("accept-encoding", "").split(",")
    return "gzip" in (coding.strip().lower() for coding in offered)


def refusal(problem: Problem) -> str:
    """What to tell somebody whose request failed: the scopes that a key lacks in words, else the message."""
    scopes = problem.facts.get("required_scope", "").split(",") if problem.reason == "MISSING_SCOPE" else []
    # The platform key's own scope, which no other key can be given.
    given = [scope for scope in scopes if scope != "admin"]
    if not scopes:
        return problem.message
    if not given:
        return "Your key may not do this. Only the platform key may."
    one_of = "the scope" if len(given) == 1 else "one of the scopes"
    return f"Your key may not do this. It takes {one_of} {' or '.join(given)}."


def see_other(path: str) -> Response:
    """After a change: look at what it became, so that a reload does not repeat it."""
    return RedirectResponse(path, status_code=303, headers=dict(SECURITY_HEADERS))


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("outlay_rest.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment


_FILTERS: Final[Mapping[str, Any]] = {
    "amount": figures.amount,
    "rounded": figures.rounded,
    "short": figures.short,
    "written": figures.written,
    "percent": figures.percent,
    "moment": figures.moment,
    "machine_time": figures.machine_time,
    "last_segment": figures.last_segment,
    "enum_words": figures.enum_words,
}
