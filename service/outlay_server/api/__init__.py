"""The gRPC edge: from bytes to one call of the ledger, the control plane or a reader, and back."""
