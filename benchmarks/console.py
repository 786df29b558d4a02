"""The console in a browser: time until a page is drawn, bytes on the wire, and what axe finds. `make bench-console`.

On the data of `outlay demo --keep`, in Debian's Chromium: every page with an empty cache, from navigation to the first
contentful paint as the browser itself tells it, and what came over the wire for it, styles and script included.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

PAGES: Final = {
    "sign-in": "/console/sign-in",
    "budgets": "/console/{organization}",
    "budget": "/console/{organization}/budgets/research",
    "alerts": "/console/{organization}/alerts",
    "audit": "/console/{organization}/audit",
    "keys": "/console/{organization}/keys",
    "webhooks": "/console/{organization}/webhooks",
    "webhook": "/console/{organization}/webhooks/on-call",
}
_REPEATS: Final = 15
_STOP_TIMEOUT_SECONDS: Final = 30.0
_DRAWN: Final = """() => new Promise((resolve) => new PerformanceObserver((list) => {
  const paint = list.getEntriesByName("first-contentful-paint")[0];
  if (paint) resolve(paint.startTime);
}).observe({ type: "paint", buffered: true }))"""


@dataclass(frozen=True, slots=True)
class DemoConsole:
    """A demo that serves, and how to get in."""

    url: str
    organization: str
    key: str

    def address(self, page: str) -> str:
        """Of one of `PAGES`."""
        return self.url + PAGES[page].format(organization=self.organization)

    def sign_in(self, page: Page) -> None:
        """As people do."""
        page.goto(self.address("sign-in"))
        page.get_by_label("API key").fill(self.key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/organizations/**")


@contextmanager
def demo_console() -> Iterator[DemoConsole]:
    """`outlay demo --keep` while the context lasts."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
    outlay = Path(sys.executable).with_name("outlay")
    demo = subprocess.Popen(
        [outlay, "demo", "--keep"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        assert demo.stdout is not None, "it is a pipe"
        told: dict[str, str] = {}
        for line in demo.stdout:
            if found := re.match(r"  (open|sign in with) +(\S+)", line):
                told[found[1]] = found[2]
            if line.startswith("Serving until"):
                break
        url, _, organization = told["open"].partition("/console/")
        yield DemoConsole(url, organization, told["sign in with"])
    finally:
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=_STOP_TIMEOUT_SECONDS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's. Raises `SystemExit` where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SystemExit("There is no chromium on the PATH.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def _measure(context: BrowserContext, address: str, repeats: int) -> tuple[float, int]:
    """(median milliseconds to the first contentful paint, bytes on the wire), each with an empty cache."""
    drawn_milliseconds = []
    size_bytes = 0
    for _ in range(repeats):
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        sizes: list[int] = []
        session.on("Network.loadingFinished", lambda event, sizes=sizes: sizes.append(event["encodedDataLength"]))
        page.goto(address, wait_until="load")
        drawn_milliseconds.append(float(page.evaluate(_DRAWN)))
        size_bytes = int(sum(sizes))
        page.close()
    return statistics.median(drawn_milliseconds), size_bytes


def main() -> None:
    """Print one line a page, as the table in docs/console.md has it."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--repeats", type=int, default=_REPEATS)
    repeats = arguments.parse_args().repeats
    with demo_console() as console, chromium() as browser:
        context = browser.new_context(viewport={"width": 1_200, "height": 900})
        page = context.new_page()
        console.sign_in(page)
        print("| page | drawn after, median | on the wire | axe |\n| --- | ---: | ---: | ---: |")
        for name in PAGES:
            milliseconds, size_bytes = _measure(context, console.address(name), repeats)
            page.goto(console.address(name))
            findings = len(Axe().run(page).response["violations"])
            print(f"| {name} | {milliseconds:.0f} ms | {size_bytes / 1_000:.1f} kB | {findings} |", flush=True)


if __name__ == "__main__":
    main()
