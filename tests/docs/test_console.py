"""`docs/console.md` says what the console does."""

import re
from collections.abc import Iterator

import httpx2
import pytest

from console.test_pages import SAME_ORIGIN, home
from docs import tables
from outlay_rest.console import history, session
from support.server import ServerProcess
from support.tenants import SCOPES, Tenant, new_tenant
from support.wire import Caller

PAGE = (tables.ROOT / "docs" / "console.md").read_text()
PICTURE_MAX_BYTES = 150_000


@pytest.fixture(scope="session")
def backend() -> str:
    return "sqlite"


@pytest.fixture(scope="module")
def tenant(shared_server: ServerProcess) -> Iterator[Tenant]:
    with Caller(shared_server.grpc_address, shared_server.admin_key) as admin:
        yield new_tenant(admin)


def test_its_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"\((images/[^)]+)\)", PAGE)
    sizes = {name: (tables.ROOT / "docs" / name).stat().st_size for name in pictures}
    assert len(sizes) == 3
    assert [name for name, size_bytes in sizes.items() if size_bytes > PICTURE_MAX_BYTES] == []


def test_the_targets_that_it_names_are_in_the_makefile() -> None:
    targets = set(re.findall(r"make ([a-z-]+)", PAGE))
    makefile = (tables.ROOT / "Makefile").read_text()
    assert targets == {"demo", "bench-console", "screenshots"}
    assert [target for target in targets if f"\n{target}: " not in makefile] == []


def test_the_figures_in_its_words_are_those_of_the_code() -> None:
    words = " ".join(PAGE.split())
    assert session.SECONDS_MAX == 12 * 3_600
    assert "twelve hours at most" in words
    assert (history.SHARES_MAX, "ten values by name" in words) == (10, True)


@pytest.mark.parametrize("scope", SCOPES)
def test_the_scopes_are_those_of_its_table(shared_server: ServerProcess, tenant: Tenant, scope: str) -> None:
    """Each scope alone, on top of what it takes to get in."""
    key = tenant.key({"budgets:read", scope}).secret
    with httpx2.Client(base_url=f"{shared_server.http_url}/console") as visitor:
        visitor.post("/sign-in", data={"api_key": key}, headers=SAME_ORIGIN)
        seen = {path: visitor.get(home(tenant) + path).status_code == 200 for path in ("", "/alerts", "/webhooks")}
        form = {
            "display_name": f"Spending {scope}",
            "thresholds_default": "on",
            "alerts_enabled": "on",
            "enforcement": "1",
        }
        saved = visitor.post(
            f"{home(tenant)}/budgets/spending", data=form | {"etag": tenant.budget().etag}, headers=SAME_ORIGIN
        )
    table = {row[0]: row[1] for row in tables.rows("console.md", "Sign in")}
    assert seen == {
        "": True,
        "/alerts": scope in table["Alerts, audit, keys"],
        "/webhooks": scope in table["Webhooks: see, test, send again"],
    }
    assert (saved.status_code == 303) == (scope in table["Change a budget"])
