"""Domain values as answers: names for ids, timestamps for instants, and what is computed for the reader."""

from outlay_server.api.to_wire import budgets, caps, organizations, spend, watching, webhooks

__all__ = ["budgets", "caps", "organizations", "spend", "watching", "webhooks"]
