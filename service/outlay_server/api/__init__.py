"""The gRPC edge: parses the wire into domain values, answers, and maps every error."""
