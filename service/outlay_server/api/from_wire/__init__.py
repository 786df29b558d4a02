"""Requests as domain values. Each function returns one whole value, or raises with every violation it found."""

from outlay_server.api.from_wire import budgets, caps, organizations, queries, spend, webhooks

__all__ = ["budgets", "caps", "organizations", "queries", "spend", "webhooks"]
