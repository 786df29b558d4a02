"""What free text may contain, wherever a caller may write it: display names, reasons, labels."""

import re
from typing import Final

# Control characters break logs and terminals, and PostgreSQL's text cannot hold NUL; unpaired surrogates are not UTF-8.
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def is_plain(text: str) -> bool:
    """Say whether text holds no control characters, line or paragraph separators, or unpaired surrogates."""
    return _FORBIDDEN.search(text) is None


def text_violation(text: str, max_length: int) -> str | None:
    """Return what is wrong with a line of free text of at most `max_length` characters, or None. Empty is fine."""
    if len(text) > max_length:
        return f"must be at most {max_length} characters"
    return None if is_plain(text) else "must not contain control characters or unpaired surrogates"
