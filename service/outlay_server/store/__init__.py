"""Durable state: the contract that a store keeps, its tables, its SQL and its dialects."""
