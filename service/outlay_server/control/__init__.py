"""Changes to what is configured (organizations, budgets, keys): load, decide, write."""
