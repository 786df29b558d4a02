resource "outlay_organization" "acme" {
  organization_id = "acme"
  display_name    = "Acme Inc."
}
