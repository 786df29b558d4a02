terraform import outlay_budget.research organizations/acme/budgets/research
