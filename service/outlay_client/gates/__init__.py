"""What puts a check in front of work: a decorator, an ASGI middleware and gRPC server interceptors."""
