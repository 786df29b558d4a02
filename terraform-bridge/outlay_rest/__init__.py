"""REST: the transcoding of every RPC by its `google.api.http` rule, and the two published faces for caps."""

from outlay_rest.app import create_app
from outlay_rest.calls import Call, CallFailed, Stream

__all__ = ["Call", "CallFailed", "Stream", "create_app"]
