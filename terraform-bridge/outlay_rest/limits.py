"""Bounds that this package checks itself, before a request reaches a handler. A test holds them to the server's."""

from typing import Final

BODY_MAX_BYTES: Final = 256 * 1024
"""An HTTP body, checked while it arrives: JSON costs many times its size in memory."""

BATCH_BODY_MAX_BYTES: Final = 1024 * 1024
"""The body of a batch method: a thousand items of ordinary size."""

BODY_MAX_SECONDS: Final = 30.0
"""The time in which a body has to arrive: as long as the longest deadline."""

DEPTH_MAX: Final = 64
"""Nesting of a JSON body; the deepest message of the contract has fewer than ten levels."""

INTEGER_MAX_DIGITS: Final = 19
"""Digits of the largest int64. Longer ones are refused unread: converting digits takes time that grows squared."""

VIOLATIONS_MAX: Final = 100
"""Field violations listed in one answer."""

ECHO_MAX_LENGTH: Final = 64
"""Characters of a caller's own input repeated in an error."""

QUERY_PARAMETERS_MAX: Final = 100
"""Parameters of one query; the method with the most has ten, and `label_filters` may stand sixteen times."""

CAP_MICROS_MAX: Final = 10**17
"""A cap or soft budget, as everywhere in the contract."""

THRESHOLDS_MAX: Final = 10
"""Alert thresholds of a budget, as everywhere in the contract."""

USAGE_THRESHOLDS_MAX: Final = 3
"""Alert thresholds on `/v1/usage/budget`, as that face is published."""

DEADLINE_MAX_SECONDS: Final = 30.0
"""The longest deadline that `x-outlay-timeout` can ask for."""
