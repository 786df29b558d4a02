resource "outlay_organization" "acme" {
  organization_id = "acme"
}

# Every organization is born with this budget: all of its dollars.
resource "outlay_budget" "spending" {
  organization = outlay_organization.acme.organization_id
  budget_id    = "spending"
  unit         = "USD"
  budget       = "400.00"
  hard_cap     = "500.00"
}

# What one team spends on one family of models, by the week.
resource "outlay_budget" "research" {
  organization     = outlay_organization.acme.organization_id
  budget_id        = "research"
  unit             = "USD"
  display_name     = "Research, large models"
  selector         = { team = "research", model = "claude-opus-*" }
  hard_cap         = "120.00"
  alert_thresholds = [75, 90, 100]

  cycle = {
    period    = "WEEK"
    time_zone = "Europe/Berlin"
  }
}
