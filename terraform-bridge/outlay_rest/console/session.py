"""Who looks: the API key, in a cookie that scripts cannot read and other sites cannot send along with a change.

Nothing is kept on the server, so any replica answers; the key is looked at again with every page, and revoking it ends
the session. The cookie is the browser's until it is closed, and half a day at most.
"""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

COOKIE: Final = "outlay_key"
PATH: Final = "/console"
SECONDS_MAX: Final = 12 * 3_600
KEY_MAX_LENGTH: Final = 256


def key_of(request: Request) -> str:
    """The key that this browser signed in with; empty where it did not."""
    key = request.cookies.get(COOKIE, "")
    return key if len(key) <= KEY_MAX_LENGTH and key.isascii() and key.isprintable() else ""


def remember(response: Response, request: Request, key: str) -> None:
    """Sign in."""
    response.set_cookie(
        COOKIE,
        key,
        max_age=SECONDS_MAX,
        path=PATH,
        httponly=True,
        # A link in a chat leads to the page itself; a form of another site is sent without the cookie.
        samesite="lax",
        secure=is_encrypted(request),
    )


def is_encrypted(request: Request) -> bool:
    """Whether the browser came by HTTPS: to this server, or to a proxy that ends TLS in front of it.

    The proxy is not asked: with each form browsers name the origin that they see. Who lies about it makes the
    own cookie stricter and nothing else.
    """
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def forget(response: Response) -> None:
    """Sign out."""
    response.delete_cookie(COOKIE, path=PATH)


def is_own_form(request: Request) -> bool:
    """Whether a POST comes from a page of this console, by what browsers say of it and scripts cannot change."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == request.headers.get("host")
