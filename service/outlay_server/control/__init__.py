"""Changes of the control plane: budgets, organizations, keys. Each runs inside `Store.change`."""

from outlay_server.control import api_keys, apply, budgets, organizations, replay
from outlay_server.control.origin import Origin

__all__ = ["Origin", "api_keys", "apply", "budgets", "organizations", "replay"]
