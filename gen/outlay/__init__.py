"""Code generated from `proto/`. Nothing here is edited: change the protos and run `make gen`."""
