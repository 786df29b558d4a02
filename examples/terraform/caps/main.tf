# One organization with its caps: a cap over all dollars, one for each team, and a switch for the large models.

terraform {
  required_version = ">= 1.8"
  required_providers {
    outlay = {
      source = "outlay/outlay"
    }
  }
}

variable "organization" {
  description = "The id of the organization."
  type        = string
}

variable "total_cap" {
  description = "What the organization may spend in a month, in USD."
  type        = string
  default     = "500.00"
}

variable "team_caps" {
  description = "What each team may spend in a month, in USD, by the label `team` of its calls."
  type        = map(string)
  default     = {}
}

resource "outlay_organization" "this" {
  organization_id = var.organization
}

resource "outlay_budget" "spending" {
  organization     = outlay_organization.this.organization_id
  budget_id        = "spending"
  unit             = "USD"
  hard_cap         = provider::outlay::usd(var.total_cap)
  alert_thresholds = [75, 90, 100]
}

resource "outlay_budget" "team" {
  for_each     = var.team_caps
  organization = outlay_organization.this.organization_id
  budget_id    = "team-${each.key}"
  unit         = "USD"
  selector     = { team = each.key }
  hard_cap     = provider::outlay::usd(each.value)
}

resource "outlay_gate" "opus" {
  organization = outlay_organization.this.organization_id
  gate_id      = "opus"
  label        = "model"
  pattern      = "claude-opus-*"
  enabled      = false
}

data "outlay_spend" "spending" {
  organization = outlay_budget.spending.organization
  budget_id    = outlay_budget.spending.budget_id
}

output "spent" {
  description = "What has been spent in the cycle that runs."
  value       = "${data.outlay_spend.spending.spent} of ${outlay_budget.spending.hard_cap} USD"
}
