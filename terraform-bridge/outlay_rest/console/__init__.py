"""The console: pages for people who look at spend and mind caps, made on the server, over the same calls as REST."""

from outlay_rest.console.routes import console_routes

__all__ = ["console_routes"]
