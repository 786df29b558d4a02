"""What a command line came to, for the tests that run `outlay` in their own process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ran:
    """What one command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def details(self) -> dict[str, str]:
        """The lines of `name  value` that were printed."""
        pairs = (line.split("  ", 1) for line in self.out.splitlines())
        return {pair[0]: pair[-1].strip() for pair in pairs}

    def ok(self) -> "Ran":
        assert (self.code, self.err) == (0, "")
        return self


Cli = Callable[..., Ran]
