"""The demo's bar and lines on a real terminal."""

import os
import pty
import re
import subprocess
import sys

import pytest

_PROGRAM = """
from outlay_cli.demo.screen import Screen
screen = Screen("USD")
with screen.spend_bar(500_000_000):
    screen.show_spend(250_000_000, 1_000_000, 500_000_000)
    screen.say("ALERT 75 %: [75] of 100")
screen.say("after")
"""


@pytest.fixture
def shown() -> str:
    """What a terminal was sent."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "NO_COLOR": "1"}
    subprocess.run([sys.executable, "-c", _PROGRAM], stdout=theirs, stderr=theirs, env=environment, check=True)
    os.close(theirs)
    sent = b""
    try:
        while read := os.read(ours, 65536):
            sent += read
    except OSError:
        # Linux's way of saying that the other end is closed and everything was read.
        pass
    finally:
        os.close(ours)
    return sent.decode()


def test_a_line_stands_alone_above_the_bar(shown: str) -> None:
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", shown)]
    assert "  ALERT 75 %: [75] of 100" in lines
    assert "  after" in lines
    assert any(
        line.startswith("  spend ━") and line.rstrip().endswith("250.00 of 500.00 USD, 1.00 held") for line in lines
    )


def test_no_color_is_honoured(shown: str) -> None:
    assert re.search(r"\x1b\[[0-9;]*m", shown) is None
