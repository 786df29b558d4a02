"""The pictures in docs/images, of the console on the data of `outlay demo`: `make screenshots`."""

from pathlib import Path
from typing import Any, Final

from benchmarks.console import chromium, demo_console

IMAGES: Final = Path(__file__).parent.parent / "docs" / "images"
SIZE_MAX_BYTES: Final = 150_000

_DESK: Final = {"width": 1_100, "height": 1_120}
_PHONE: Final = {"width": 390, "height": 1_000}

PICTURES: Final[dict[str, tuple[str, Any]]] = {
    "console-budget": ("budget", {"viewport": _DESK, "color_scheme": "light"}),
    "console-budgets": ("budgets", {"viewport": _DESK | {"height": 560}, "color_scheme": "light"}),
    "console-phone-dark": (
        "budget",
        {"viewport": _PHONE, "color_scheme": "dark", "device_scale_factor": 1.5, "is_mobile": True},
    ),
}
"""File name without its ending: the page, and the browser that looks at it."""


def main() -> None:
    """Write them, and say how large they are. Raises `SystemExit` where one is too large for a page of docs."""
    IMAGES.mkdir(exist_ok=True)
    with demo_console() as console, chromium() as browser:
        for name, (page_name, options) in PICTURES.items():
            context = browser.new_context(**options)
            page = context.new_page()
            console.sign_in(page)
            page.goto(console.address(page_name), wait_until="load")
            # The figures are loaded once more when the stream of changes begins.
            page.wait_for_timeout(1_500)
            picture = IMAGES / f"{name}.png"
            page.screenshot(path=picture)
            context.close()
            size_bytes = picture.stat().st_size
            print(f"{picture.name}: {size_bytes / 1_000:.0f} kB")
            if size_bytes > SIZE_MAX_BYTES:
                raise SystemExit(f"{picture.name} is larger than {SIZE_MAX_BYTES} bytes.")


if __name__ == "__main__":
    main()
