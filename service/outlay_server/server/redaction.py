"""Taking secrets out of text that leaves the process, wherever in it they stand."""

import re
from typing import Final

_SECRETS: Final = (
    # Keys of ours, whole or cut, well-formed or not: who sends a wrong one often sends a right one elsewhere.
    # At the start of a word (also after an escaped line end) a few characters are enough; a task_name is none.
    (re.compile(r"(?:(?<![0-9A-Za-z])|(?<=\\[nrt]))sk_[0-9A-Za-z_\-]{4,}|sk_[0-9A-Za-z]{16,}"), "sk_[redacted]"),
    (re.compile(r"whsec_[0-9A-Za-z+/=_\-]{4,}"), "whsec_[redacted]"),
    # The password in a database URL, which drivers quote in their errors.
    (re.compile(r"(?P<before>[a-z][a-z0-9+]*://[^\s:/@\"]*:)[^\s@/\"]+@"), r"\g<before>[redacted]@"),
)


def redact(text: str) -> str:
    """Return the text with every API key, webhook secret and password of a URL replaced."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
