terraform {
  required_providers {
    outlay = {
      source = "outlay/outlay"
    }
  }
}

# Endpoint and key come from OUTLAY_ENDPOINT and OUTLAY_API_KEY.
provider "outlay" {}
