"""REST: the transcoding of every RPC by its `google.api.http` rule, and the two seed faces."""
