"""Domain values as answers: names for ids, timestamps for instants, and what is computed for the reader."""

from outlay_server.api.to_wire import budgets, organizations, spend, watching

__all__ = ["budgets", "organizations", "spend", "watching"]
