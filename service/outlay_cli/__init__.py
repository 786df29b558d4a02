"""The command line `outlay`: thin and lazy."""
