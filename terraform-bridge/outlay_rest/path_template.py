"""Path templates of `google.api.http`: `/v1/{budget.name=organizations/*/budgets/*}`, `…:checkSpend`.

Paths are matched as they came over the wire, before anybody decodes them: `%2F` can then never become a separator and
`%2e%2e` never a step up. Only escapes of unreserved characters, which mean the same as the character (RFC 3986, 2.3),
are resolved; any other escape, and a segment of dots, matches nothing.
"""

import re
from dataclasses import dataclass
from typing import Final

_VARIABLE: Final = re.compile(r"\{(?P<field>[a-z_.]+)=(?P<pattern>[^}]+)\}")
_SEGMENT: Final = r"[A-Za-z0-9_-][A-Za-z0-9._~-]*"
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normalize(raw_path: bytes) -> str | None:
    """Return the path with its needless escapes resolved, or None where no template can match it."""
    try:
        path = raw_path.decode("ascii")
    except UnicodeDecodeError:
        return None
    if "%" not in path:
        return path
    path = _ESCAPE.sub(_unescape, path)
    return None if "%" in path else path


def _unescape(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0]


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """One template; at most one variable, which is all that the contract's rules use."""

    text: str
    field: str
    """Path of the request's field that the variable fills, such as `budget.name`; empty without a variable."""

    expression: re.Pattern[str]

    def match(self, path: str) -> str | None:
        """Return the variable's value (empty without a variable), or None where the path does not match."""
        matched = self.expression.fullmatch(path)
        if matched is None:
            return None
        return matched.group(1) if self.field else ""


def parse_template(text: str) -> PathTemplate:
    """Read a template. Raises `ValueError` for one with `**`, with two variables, or with a bare `*`."""
    variables = _VARIABLE.findall(text)
    if len(variables) > 1 or "**" in text or "*" in _VARIABLE.sub("", text):
        raise ValueError(f"unsupported path template {text}")
    if not variables:
        return PathTemplate(text, "", re.compile(re.escape(text)))
    field, pattern = variables[0]
    before, after = text.split("{" + f"{field}={pattern}" + "}")
    inner = _SEGMENT.join(re.escape(piece) for piece in pattern.split("*"))
    return PathTemplate(text, field, re.compile(f"{re.escape(before)}({inner}){re.escape(after)}"))
