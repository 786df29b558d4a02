"""Where a change comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked for a change, and by which way; written into the audit."""

    actor: str
    """Name of the API key, or `platform` for the platform's own."""
    source: str
    """grpc, rest, yaml, terraform, cli or server."""
    correlation_id: str
    """Of the call, as in the logs."""
    is_platform: bool
    """Whether the platform's own key asked: only that one may change an allotment."""
