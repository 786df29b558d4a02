"""Caps as code in YAML: read, check, plan, apply, export."""
