# "1250.50"
output "cap" {
  value = provider::outlay::usd("$1,250.5")
}
