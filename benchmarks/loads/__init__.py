"""The load processes: each reads a `Plan`, loads its target in a closed loop, and prints a `Trial`."""
