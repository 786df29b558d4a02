"""What an apply may do beside changing what its source keeps."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Leave that was given; without any, only what this source keeps is changed."""

    adopt: bool = False
    """Take over what exists and nobody keeps."""
    override_manager: bool = False
    """Take over what others keep."""
    prune: bool = False
    """Delete what this source keeps and the files no longer name."""
    max_delete_count: int = 10
    allow_cap_below_spend: bool = False
    allow_removing_hard_cap: bool = False
    allow_deleting_in_use: bool = False
