"""Free text: what would break a log, a terminal or a table stays out."""

import pytest

from outlay_server.domain.text import text_violation


@pytest.mark.parametrize("text", ["", "Spending", "Ausgaben für März 🚀", "日本語", "a" * 10])
def test_lines_of_any_script_are_accepted(text: str) -> None:
    """Length counts characters."""
    assert text_violation(text, 20) is None


@pytest.mark.parametrize("text", ["a\x00", "a\nb", "\x1b[31m", "\x7f", "\x85", "\u2028", "\ud800", "a" * 21])
def test_control_characters_surrogates_and_long_texts_are_refused(text: str) -> None:
    """PostgreSQL cannot hold NUL, and an unpaired surrogate is no UTF-8."""
    assert text_violation(text, 20) is not None
