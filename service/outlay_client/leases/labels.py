"""Labels are checked before anything is admitted with them: spend that the server refuses to record would be lost."""

import unicodedata
from collections.abc import Mapping
from typing import Final

from outlay_client.leases.operations import Labels

MAX_LABELS: Final = 16
MAX_KEY_BYTES: Final = 63
MAX_VALUE_BYTES: Final = 255


def check_labels(labels: Labels) -> None:
    """Raise ValueError where they are not within the contract's limits."""
    if len(labels) > MAX_LABELS:
        raise ValueError(f"at most {MAX_LABELS} labels, not {len(labels)}")
    for key, value in labels:
        if not 1 <= len(key.encode()) <= MAX_KEY_BYTES:
            raise ValueError(f"a label's key must be 1 to {MAX_KEY_BYTES} bytes: {key!r}")
        if len(value.encode()) > MAX_VALUE_BYTES:
            raise ValueError(f"a label's value must be at most {MAX_VALUE_BYTES} bytes: {value!r}")
        if any(unicodedata.category(character) == "Cc" for character in key + value):
            raise ValueError(f"a label must not hold control characters: {key!r}: {value!r}")


def added(lease_labels: Labels, labels: Mapping[str, str]) -> Labels:
    """The labels of a record: the lease's and further ones. Raises ValueError where one changes a lease's value."""
    own = dict(lease_labels)
    for key, value in labels.items():
        if own.get(key, value) != value:
            raise ValueError(f"the lease has {key}={own[key]}; a record cannot say {value}")
    together = tuple(sorted({**own, **labels}.items()))
    check_labels(together)
    return together
