"""What an apply may do beside changing what its source keeps."""

from dataclasses import dataclass
from typing import Final

MAX_DELETES_DEFAULT: Final = 10
"""As in the service, where a request does not say."""


@dataclass(frozen=True, slots=True)
class Options:
    """Leave that was given; without any, only what this source keeps is changed."""

    adopt: bool = False
    """Take over what exists and nobody keeps."""
    override_manager: bool = False
    """Take over what others keep."""
    prune: bool = False
    """Delete what this source keeps and the files no longer name."""
    max_delete_count: int = MAX_DELETES_DEFAULT
    allow_cap_below_spend: bool = False
    allow_removing_hard_cap: bool = False
    allow_deleting_in_use: bool = False

    @property
    def changes_what_is_done(self) -> bool:
        """Whether there is more to do than without them, and not only leave to do it."""
        return self.adopt or self.override_manager or self.prune or self.max_delete_count != MAX_DELETES_DEFAULT
