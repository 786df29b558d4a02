organization = "acme"

team_caps = {
  research = "120"
  support  = "80"
}
