"""The pure rules: values in, values out; no I/O, no clock, no wire types."""
