"""Whatever a file holds, it is read or it is complained about: nothing else is ever raised, and nothing hangs."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlay_cli.caps.rules import RULES
from outlay_sync.files import load_contents
from outlay_sync.problems import InvalidFilesError

SEED = b"""\
# yaml-language-server: $schema=caps.schema.json
source: platform/caps
organization: acme
display_name: "Acme \\u00e9"
gates:
  - {gate_id: opus, label: model, pattern: "claude-opus-*", enabled: false}
budgets:
  - budget_id: spending
    unit: USD
    selector: {team: search, model: claude-*}
    budget: 100.00
    hard_cap: null
    alert_thresholds: [50, 75]
    alerts_enabled: true
    cycle: {period: MONTH, anchor: 2026-01-31, time_zone: Europe/Berlin}
    enforcement: ENFORCE
webhook_endpoints:
  - webhook_endpoint_id: ops
    uri: https://example.com/hook
    secretFrom: {env: HOOK_SECRET}
"""
PIECES = (
    *(
        b"&a ",
        b"*a",
        b"!!str ",
        b"!<tag:x> ",
        b"<<: ",
        b"---\n",
        b"...\n",
        b"%YAML 1.1\n",
        b"? ",
        b"- ",
        b": ",
        b"|\n",
        b">-\n",
    ),
    *(b"{", b"}", b"[", b"]", b"'", b'"', b"#", b"@", b"`", b"\t", b"\r", b"\n", b"  ", b"\\ud800", b"\x1b[31m"),
    *(b"\x00", b"\xff", b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80"),
    *(b"null", b"~", b"yes", b"010", b"1e400", b".inf", b"1_000", b"9" * 400, b"budget_id: x\n", b"organization: b\n"),
)


def _mutated(seed: int, rounds: int) -> bytes:
    chance = random.Random(seed)
    content = bytearray(SEED)
    for _ in range(rounds):
        at, until = sorted((chance.randrange(len(content) + 1), chance.randrange(len(content) + 1)))
        match chance.randrange(4):
            case 0:
                content[at:at] = chance.choice(PIECES)
            case 1:
                del content[at : min(until, at + 12)]
            case 2:
                content[at:at] = content[at : min(until, at + 60)]
            case _ if at < len(content):
                content[at] = chance.randrange(256)
    return bytes(content)


def _read(content: bytes) -> None:
    """Read it; what is complained about has a place in the file and fits on a line."""
    try:
        load_contents({"f": content}, RULES)
    except InvalidFilesError as error:
        line_count = content.count(b"\n") + content.count(b"\r") + 3 * content.count(b"\xe2\x80") + 2
        for problem in error.problems:
            assert 1 <= problem.place.line <= line_count + content.count(b"\xc2\x85")
            assert problem.place.column >= 1
            assert "\n" not in problem.message


@given(st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=600)
def test_a_mutated_file_is_read_or_complained_about(seed: int, rounds: int) -> None:
    _read(_mutated(seed, rounds))


@pytest.mark.deep
def test_fifty_thousand_mutated_files_are_read_or_complained_about() -> None:
    for seed in range(50_000):
        _read(_mutated(seed, 1 + seed % 12))


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_read_or_complained_about(content: bytes) -> None:
    _read(content)


@given(st.text(max_size=120))
@settings(max_examples=200)
def test_any_text_is_read_or_complained_about(text: str) -> None:
    _read(text.encode("utf-8", "surrogatepass"))
