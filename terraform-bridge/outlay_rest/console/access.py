"""Signing in and out, and where to begin."""

from urllib.parse import quote

from starlette.responses import Response

from outlay.v1 import admin_service_pb2 as pb
from outlay_rest.calls import CallFailed
from outlay_rest.console import session
from outlay_rest.console.visit import ADMIN, Visit, refusal, see_other
from outlay_rest.problems import from_status

OWN = "organizations/-"
"""The organization of the key."""


async def show_sign_in(visit: Visit) -> Response:
    """The form."""
    return await visit.page("sign_in.html", failure="", next=_next_of(visit.request.query_params.get("next", "")))


async def sign_in(visit: Visit) -> Response:
    """Try the key, and keep it where it opens something."""
    form = await visit.form()
    key, then = form.get("api_key", ""), _next_of(form.get("next", ""))
    asking = Visit(visit.request, visit.call, key, visit.correlation_id)
    failure = ""
    if not key or len(key) > session.KEY_MAX_LENGTH or not (key.isascii() and key.isprintable()):
        failure = "Enter an API key."
    else:
        try:
            home = await _home(asking)
        except CallFailed as failed:
            problem = from_status(failed.status)
            failure = "This key opens nothing." if problem.http_status == 401 else refusal(problem)
    if failure:
        return await visit.page("sign_in.html", status=403, failure=failure, next=then)
    response = see_other(then or home)
    session.remember(response, visit.request, key)
    return response


async def sign_out(visit: Visit) -> Response:
    """Forget the key."""
    response = see_other(f"{session.PATH}/sign-in")
    session.forget(response)
    return response


async def start(visit: Visit) -> Response:
    """To the organization of the key, or to the list of all."""
    return see_other(await _home(visit))


def ask_to_sign_in(visit: Visit) -> Response:
    """To the form, and back from there to what was asked for."""
    path, query = visit.request.url.path, visit.request.url.query
    asked_for = quote(f"{path}?{query}" if query else path)
    wanted = f"?next={asked_for}" if visit.request.method == "GET" and path != f"{session.PATH}/" else ""
    return see_other(f"{session.PATH}/sign-in{wanted}")


async def signed_out(visit: Visit) -> Response:
    """The key was revoked, or has expired."""
    response = await visit.page("sign_in.html", status=403, failure="This key no longer opens anything.", next="")
    session.forget(response)
    return response


async def _home(visit: Visit) -> str:
    """Where a key begins: its organization, or all of them for the platform key. Raises `CallFailed`."""
    try:
        organization = await visit.ask(f"{ADMIN}GetOrganization", pb.GetOrganizationRequest(name=OWN))
    except CallFailed as failed:
        # The platform key has no organization of its own.
        if from_status(failed.status).reason != "VALIDATION_FAILED":
            raise
        return f"{session.PATH}/organizations"
    return f"{session.PATH}/{organization.name}"


def _next_of(path: str) -> str:
    """A page of this console, and no way out of it."""
    return path if path.startswith(f"{session.PATH}/") and "//" not in path and "\\" not in path else ""
