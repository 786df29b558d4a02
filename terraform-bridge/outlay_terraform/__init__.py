"""The Terraform provider `outlay`: budgets, organizations, gates and webhook endpoints as code.

`wire` speaks Terraform's plugin protocol, `framework` knows what a provider is, `resources` and `data` know Outlay.
"""
