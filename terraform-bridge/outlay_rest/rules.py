"""The RPCs that HTTP reaches, read from the descriptors, and which of them a request means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from google.api import annotations_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from outlay.v1 import admin_service_pb2, budget_service_pb2
from outlay_rest.limits import BATCH_BODY_MAX_BYTES, BODY_MAX_BYTES
from outlay_rest.path_template import PathTemplate, parse_template
from outlay_rest.problems import unknown_path, wrong_method

SERVICES: Final[Sequence[ServiceDescriptor]] = (
    budget_service_pb2.DESCRIPTOR.services_by_name["BudgetService"],
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
)

_LARGE: Final = ("Batch", "ApplyCaps")
"""How methods begin whose requests carry up to a thousand items."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One RPC and how HTTP calls it."""

    descriptor: MethodDescriptor
    method: str
    """As gRPC calls it: `/outlay.v1.BudgetService/GetBudget`."""

    http_method: str
    template: PathTemplate
    body: str
    """The request's field that the body is; `*`: the whole request; empty: there is no body."""

    @property
    def input(self) -> Descriptor:
        return self.descriptor.input_type

    @property
    def output(self) -> Descriptor:
        return self.descriptor.output_type

    @property
    def streaming(self) -> bool:
        return self.descriptor.server_streaming

    @property
    def body_max_bytes(self) -> int:
        return BATCH_BODY_MAX_BYTES if self.descriptor.name.startswith(_LARGE) else BODY_MAX_BYTES

    def new_request(self) -> Message:
        return GetMessageClass(self.input)()


def rule_of(descriptor: MethodDescriptor) -> Rule:
    """Read the one `google.api.http` rule of a method."""
    http = descriptor.GetOptions().Extensions[annotations_pb2.http]
    verb = http.WhichOneof("pattern")
    assert verb is not None, descriptor.full_name
    assert not http.additional_bindings, descriptor.full_name
    return Rule(
        descriptor=descriptor,
        method=f"/{descriptor.containing_service.full_name}/{descriptor.name}",
        http_method=verb.upper(),
        template=parse_template(getattr(http, verb)),
        body=http.body,
    )


RULES: Final[Sequence[Rule]] = tuple(rule_of(method) for service in SERVICES for method in service.methods)
"""All of them, in the order of the protos."""


def find(http_method: str, path: str) -> tuple[Rule, str]:
    """Return the rule that a request means, and the value of its path variable.

    HEAD means GET. Raises `Refused`: 404 where no rule knows the path, 405 where none knows it with this method.
    """
    wanted = "GET" if http_method == "HEAD" else http_method
    allowed: list[str] = []
    for rule in RULES:
        if (value := rule.template.match(path)) is None:
            continue
        if rule.http_method == wanted:
            return rule, value
        allowed.extend(["GET", "HEAD"] if rule.http_method == "GET" else [rule.http_method])
    if allowed:
        raise wrong_method(allowed)
    raise unknown_path()
