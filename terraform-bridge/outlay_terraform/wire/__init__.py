"""Terraform's plugin protocol: how the process introduces itself, and how questions and answers travel."""
