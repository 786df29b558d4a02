"""The Outlay SDK."""
