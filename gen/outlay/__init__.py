"""Code generated from `proto/`: change the protos and run `make gen`."""
