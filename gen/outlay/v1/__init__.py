"""The package `outlay.v1`: messages, services and their descriptors."""
