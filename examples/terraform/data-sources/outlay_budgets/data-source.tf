data "outlay_budgets" "all" {
  organization = "acme"
}

output "not_kept_as_code" {
  value = [for budget in data.outlay_budgets.all.budgets : budget.budget_id if budget.managed_by == ""]
}
