data "outlay_spend" "spending" {
  organization = "acme"
  budget_id    = "spending"
}

output "spent" {
  value = "${data.outlay_spend.spending.spent} ${data.outlay_spend.spending.unit}"
}
