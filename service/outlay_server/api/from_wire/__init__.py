"""Requests as domain values. Each function returns one whole value, or raises with every violation it found."""

from outlay_server.api.from_wire import budgets, organizations, queries, spend

__all__ = ["budgets", "organizations", "queries", "spend"]
