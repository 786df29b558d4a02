"""The console of a live server, as its users see it: over plain HTTP, and in a real browser."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import Caller

BY_NAME = "outlay.example"
"""A name under which the browser finds the server without TLS, as a browser on another machine would."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""


@pytest.fixture(scope="session")
def backend() -> str:
    """The console speaks to the service and does not see what it stores in: once is enough."""
    return "sqlite"


@pytest.fixture(scope="session")
def console(shared_server: ServerProcess) -> str:
    """Where it is."""
    return f"{shared_server.http_url}/console"


@pytest.fixture
def tenant(shared_server: ServerProcess) -> Iterator[Tenant]:
    with Caller(shared_server.grpc_address, shared_server.admin_key) as admin:
        yield new_tenant(admin)


@pytest.fixture
def key(tenant: Tenant) -> str:
    """A key of the organization that may do all that the console offers."""
    return str(tenant.key(["control:read", "control:webhooks", "budgets:write"]).secret)


@pytest.fixture
def visitor(console: str) -> Iterator[httpx2.Client]:
    """Somebody without a browser, who follows no redirects."""
    with httpx2.Client(base_url=console) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one module: while it is open it keeps an event loop running, in which no other test could have its own."""
    if not CHROMIUM:
        pytest.skip("no chromium on the PATH")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", f"--host-resolver-rules=MAP {BY_NAME} 127.0.0.1"]
        )
        yield launched
        launched.close()


def _is_defect(said: ConsoleMessage) -> bool:
    """Whether a message in the browser's console is one; that a form was refused is told there too."""
    return said.type == "error" and not re.search(r"responded with a status of (403|409|422)", said.text)


Open = Callable[..., Page]


@pytest.fixture
def signed_in(browser: Browser, console: str, tenant: Tenant, key: str) -> Iterator[Open]:
    """Open a page of the organization, signed in: `signed_in("/keys", viewport=…)`. Fails on an error in its scripts.

    With the organization's key, unless `by` is another.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(path: str = "", *, by: str = key, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if _is_defect(said) else None)
        page.goto(f"{console}/sign-in")
        page.get_by_label("API key").fill(by)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/organizations**")
        page.goto(f"{console}/organizations/{tenant.organization_id}{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
