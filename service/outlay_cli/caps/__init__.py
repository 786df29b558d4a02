"""Caps as code on the command line: the service's rules, the calls, and how plans are shown."""
