resource "outlay_organization" "acme" {
  organization_id = "acme"
}

# Every organization is born with this gate, off.
resource "outlay_gate" "opus" {
  organization = outlay_organization.acme.organization_id
  gate_id      = "opus"
  label        = "model"
  pattern      = "claude-opus-*"
  enabled      = true
}
