"""Secrets, and URIs that are secrets: taken from the environment at the last moment, and kept nowhere.

A request that is planned, shown or saved is without them; `filled` makes the one that is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outlay.v1.caps_pb2 import ApplyCapsRequest
from outlay_sync.desired import Organization

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Variables:
    """Which variables of the environment belong to a webhook endpoint."""

    endpoint: str
    """Its name."""
    uri: str | None
    secret: str | None


class MissingVariableError(Exception):
    """A variable is needed and not set."""

    def __init__(self, endpoint: str, variable: str) -> None:
        super().__init__(f"the environment variable {variable} is not set")
        self.endpoint = endpoint


def variables_of(organization: Organization) -> Sequence[Variables]:
    """What the endpoints of an organization take from the environment."""
    return [
        Variables(endpoint.name, endpoint.uri_variable, endpoint.secret_variable)
        for endpoint in organization.webhook_endpoints
        if endpoint.uri_variable is not None or endpoint.secret_variable is not None
    ]


def filled(request: ApplyCapsRequest, variables: Sequence[Variables], environment: Environment) -> ApplyCapsRequest:
    """The request as it is sent. A URI has to be set; a secret that is not at hand is left as it is.

    Raises `MissingVariableError`.
    """
    whole = ApplyCapsRequest()
    whole.CopyFrom(request)
    by_name = {one.endpoint: one for one in variables}
    for desired in whole.webhook_endpoints:
        own = by_name.get(desired.webhook_endpoint.name)
        if own is not None and own.uri is not None:
            desired.webhook_endpoint.uri = required(own.endpoint, own.uri, environment)
            desired.update_mask.paths.append("uri")
        # A plan is also made where the secret is not, as for a pull request.
        if own is not None and own.secret is not None and environment.get(own.secret):
            desired.webhook_endpoint.secret = environment[own.secret]
            desired.update_mask.paths.append("secret")
    return whole


def required(endpoint: str, variable: str, environment: Environment) -> str:
    """The value of a variable. Raises `MissingVariableError`."""
    value = environment.get(variable, "")
    if not value:
        raise MissingVariableError(endpoint, variable)
    return value
