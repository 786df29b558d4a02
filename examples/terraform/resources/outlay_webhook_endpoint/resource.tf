resource "outlay_organization" "acme" {
  organization_id = "acme"
}

variable "webhook_secret" {
  type      = string
  ephemeral = true
}

resource "outlay_webhook_endpoint" "pager" {
  organization        = outlay_organization.acme.organization_id
  webhook_endpoint_id = "pager"
  uri                 = "https://hooks.example.com/outlay"
  event_types         = ["alert.crossed", "cap.reached"]
  secret_wo           = var.webhook_secret
  secret_wo_version   = 1
}
