"""The resources: each says what its attributes are and how it is read, made, changed and deleted."""
