data "outlay_budget" "spending" {
  organization = "acme"
  budget_id    = "spending"
}

output "hard_cap" {
  value = data.outlay_budget.spending.hard_cap
}
