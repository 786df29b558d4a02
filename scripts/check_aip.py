"""Check the API's descriptors against the Google API Improvement Proposals (https://google.aip.dev) and our own sheet.

    python scripts/check_aip.py [DESCRIPTORS]     exit 1 and print each complaint

Each rule is a function from the `Api` to complaints, and `RULES` lists them all. The exceptions stand first, each with
its reason.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from google.api import annotations_pb2, field_behavior_pb2, http_pb2, resource_pb2
from google.protobuf import descriptor_pb2 as pb

DESCRIPTORS = Path(__file__).resolve().parent.parent / "gen" / "outlay" / "v1" / "descriptors.binpb"
PACKAGE = "outlay.v1"
DOMAIN = "outlay.dev"

Field = pb.FieldDescriptorProto

SERVER_NAMED = {"ApiKey"}
"""Created without an id of the client's: a key's id is never typed by people, and must not be chosen by them."""

NOT_CHANGING = {"QuerySpend", "TestWebhookEndpoint"}
"""POST methods that change nothing, so that a retry needs no request_id."""

INSTANTS = {"cycle_start", "cycle_end"}
"""Timestamps that name an edge of a window rather than an event, so AIP-142's `_time` would say less."""

UNITS = ("_micros", "_percent", "_count", "_size", "_status")
"""How the name of a number may end."""

PURE_NUMBERS = {"sequence", "after_sequence", "percents", "percent_used", "alerts_sent"}
"""Numbers that are an ordinal, or whose unit, percent, stands elsewhere in the name or in the field they echo."""


@dataclass(frozen=True)
class Message:
    """A message, and where it stands for `Api.comments`."""

    name: str
    file: str
    path: tuple[int, ...]
    proto: pb.DescriptorProto

    @property
    def fields(self) -> dict[str, Field]:
        return {field.name: field for field in self.proto.field}

    @property
    def resource(self) -> resource_pb2.ResourceDescriptor | None:
        options = self.proto.options
        return options.Extensions[resource_pb2.resource] if options.HasExtension(resource_pb2.resource) else None


@dataclass(frozen=True)
class Method:
    """An RPC, and where it stands for `Api.comments`."""

    name: str
    file: str
    path: tuple[int, ...]
    proto: pb.MethodDescriptorProto

    @property
    def http(self) -> http_pb2.HttpRule:
        return self.proto.options.Extensions[annotations_pb2.http]

    @property
    def verb(self) -> str:
        """The HTTP method in capitals; empty where the RPC has no rule."""
        return (self.http.WhichOneof("pattern") or "").upper()

    @property
    def uri(self) -> str:
        return str(getattr(self.http, self.verb.lower())) if self.verb else ""

    @property
    def request(self) -> str:
        return self.proto.input_type.rpartition(".")[2]

    @property
    def response(self) -> str:
        return self.proto.output_type.rpartition(".")[2]


class Api:
    """The files of `PACKAGE` in a descriptor set, by the names that rules ask for."""

    def __init__(self, descriptors: pb.FileDescriptorSet) -> None:
        self.files = [file for file in descriptors.file if file.package == PACKAGE]

    @cached_property
    def messages(self) -> dict[str, Message]:
        """Top-level messages by name. Nested ones do not occur but for map entries."""
        return {
            proto.name: Message(proto.name, file.name, (4, index), proto)
            for file in self.files
            for index, proto in enumerate(file.message_type)
        }

    @cached_property
    def methods(self) -> list[Method]:
        return [
            Method(proto.name, file.name, (6, service_index, 2, index), proto)
            for file in self.files
            for service_index, service in enumerate(file.service)
            for index, proto in enumerate(service.method)
        ]

    @cached_property
    def resources(self) -> dict[str, Message]:
        """Messages that are resources, by name."""
        return {name: message for name, message in self.messages.items() if message.resource}

    @cached_property
    def comments(self) -> dict[tuple[str, tuple[int, ...]], str]:
        """Leading comments by file and path, as `SourceCodeInfo` numbers paths."""
        return {
            (file.name, tuple(location.path)): location.leading_comments.strip()
            for file in self.files
            for location in file.source_code_info.location
            if location.leading_comments
        }

    def fields_of(self, message: str) -> dict[str, Field]:
        """The fields of a message of this package by name; none for a message from elsewhere."""
        return self.messages[message].fields if message in self.messages else {}


def standard(method: Method, api: Api) -> tuple[str, str]:
    """(verb, resource) of a standard method, such as ("List", "Budget"); ("", "") for a custom method."""
    verb, noun = re.fullmatch(r"([A-Z][a-z]+)(\w*)", method.name).groups()  # type: ignore[union-attr]
    if verb == "List":
        plurals = {resource.resource.plural: name for name, resource in api.resources.items() if resource.resource}
        noun = plurals.get(noun[:1].lower() + noun[1:], "")
    return (verb, noun) if verb in STANDARD_METHODS and noun in api.resources else ("", "")


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def behaviors(field: Field) -> set[int]:
    return set(field.options.Extensions[field_behavior_pb2.field_behavior])


def has(fields: dict[str, Field], name: str, kind: int, type_name: str = "") -> bool:
    """Whether there is a field of this name and type; `type_name` is fully qualified without the leading dot."""
    field = fields.get(name)
    return field is not None and field.type == kind and field.type_name.lstrip(".") == type_name


def resources_are_named(api: Api) -> Iterator[str]:
    """AIP-122, AIP-123: a resource has type, pattern, both numbers of its name, and a first field `name`."""
    for name, message in api.resources.items():
        option = message.resource
        assert option is not None
        if option.type != f"{DOMAIN}/{name}":
            yield f"{name}: the resource's type is {option.type!r}, not {DOMAIN}/{name}"
        if not option.pattern or not all(re.fullmatch(r"(\w+/\{\w+\}/?)+", pattern) for pattern in option.pattern):
            yield f"{name}: no pattern of the form collection/{{id}}"
        if not option.plural or not option.singular:
            yield f"{name}: plural or singular is missing"
        first = message.proto.field[0]
        if first.name != "name" or first.number != 1 or field_behavior_pb2.IDENTIFIER not in behaviors(first):
            yield f"{name}: field 1 is not `name` with the behaviour IDENTIFIER"


def references_lead_somewhere(api: Api) -> Iterator[str]:
    """AIP-124: a reference names a resource of this API."""
    known = {f"{DOMAIN}/{name}" for name in api.resources}
    for message in api.messages.values():
        for field in message.proto.field:
            reference = field.options.Extensions[resource_pb2.resource_reference]
            target = reference.type or reference.child_type
            if target and target not in known:
                yield f"{message.name}.{field.name}: refers to {target}, which is no resource"


def methods_have_http(api: Api) -> Iterator[str]:
    """AIP-127: an RPC has an HTTP rule, whose variables and body are fields of its request."""
    for method in api.methods:
        if not method.verb:
            yield f"{method.name}: no google.api.http rule"
            continue
        fields = api.fields_of(method.request)
        for variable in re.findall(r"\{([\w.]+)[=}]", method.uri):
            outer, _, inner = variable.partition(".")
            known = outer in fields and (
                not inner or inner in api.fields_of(fields[outer].type_name.rpartition(".")[2])
            )
            if not known:
                yield f"{method.name}: {variable} of the HTTP rule is no field of {method.request}"
        if method.http.body not in {"", "*"} and method.http.body not in fields:
            yield f"{method.name}: the body {method.http.body} is no field of {method.request}"
        if method.verb in {"GET", "DELETE"} and method.http.body:
            yield f"{method.name}: {method.verb} has a body"
        if method.request != f"{method.name}Request":
            yield f"{method.name}: the request is called {method.request}"


def get_is_standard(method: Method, noun: str, api: Api) -> Iterator[str]:
    """AIP-131."""
    if method.verb != "GET" or method.response != noun:
        yield f"{method.name}: is not GET answering {noun} (AIP-131)"
    if not has(api.fields_of(method.request), "name", Field.TYPE_STRING):
        yield f"{method.name}: the request has no name (AIP-131)"


def list_is_standard(method: Method, noun: str, api: Api) -> Iterator[str]:
    """AIP-132, AIP-158. Whether a `parent` is needed follows from the pattern."""
    option = api.resources[noun].resource
    assert option is not None
    if method.verb != "GET" or method.response != f"{method.name}Response":
        yield f"{method.name}: is not GET answering {method.name}Response (AIP-132)"
    if option.pattern[0].count("/") > 1 and not has(api.fields_of(method.request), "parent", Field.TYPE_STRING):
        yield f"{method.name}: the request has no parent (AIP-132)"
    items = api.fields_of(method.response).get(snake(option.plural))
    if items is None or items.label != Field.LABEL_REPEATED:
        yield f"{method.name}: the response has no repeated {snake(option.plural)} (AIP-132)"


def create_is_standard(method: Method, noun: str, api: Api) -> Iterator[str]:
    """AIP-133."""
    fields = api.fields_of(method.request)
    if method.verb != "POST" or method.response != noun or method.http.body != snake(noun):
        yield f"{method.name}: is not POST of {snake(noun)} answering {noun} (AIP-133)"
    if noun not in SERVER_NAMED and not has(fields, f"{snake(noun)}_id", Field.TYPE_STRING):
        yield f"{method.name}: the request has no {snake(noun)}_id (AIP-133)"


def update_is_standard(method: Method, noun: str, api: Api) -> Iterator[str]:
    """AIP-134, AIP-154, AIP-163."""
    fields = api.fields_of(method.request)
    if method.verb != "PATCH" or method.response != noun or method.http.body != snake(noun):
        yield f"{method.name}: is not PATCH of {snake(noun)} answering {noun} (AIP-134)"
    if not has(fields, "update_mask", Field.TYPE_MESSAGE, "google.protobuf.FieldMask"):
        yield f"{method.name}: the request has no update_mask (AIP-134)"
    for name in ("allow_missing", "validate_only"):
        if not has(fields, name, Field.TYPE_BOOL):
            yield f"{method.name}: the request has no {name} (AIP-134, AIP-163)"
    if not has(api.fields_of(noun), "etag", Field.TYPE_STRING):
        yield f"{noun}: can be updated and has no etag (AIP-154)"


def delete_is_standard(method: Method, noun: str, api: Api) -> Iterator[str]:
    """AIP-135, AIP-154."""
    fields = api.fields_of(method.request)
    if method.verb != "DELETE" or method.proto.output_type != ".google.protobuf.Empty":
        yield f"{method.name}: is not DELETE answering Empty (AIP-135)"
    for name in ("name", "etag"):
        if not has(fields, name, Field.TYPE_STRING):
            yield f"{method.name}: the request of {noun} has no {name} (AIP-135, AIP-154)"


STANDARD_METHODS: dict[str, Callable[[Method, str, Api], Iterator[str]]] = {
    "Get": get_is_standard,
    "List": list_is_standard,
    "Create": create_is_standard,
    "Update": update_is_standard,
    "Delete": delete_is_standard,
}


def methods_are_standard_or_custom(api: Api) -> Iterator[str]:
    """AIP-130 to AIP-136: a method is one of the five, or its URI ends in `:verb` and a POST takes all as body."""
    for method in api.methods:
        verb, noun = standard(method, api)
        if verb:
            yield from STANDARD_METHODS[verb](method, noun, api)
        elif not re.search(r":[a-z][A-Za-z]*$", method.uri):
            yield f"{method.name}: a custom method's URI ends in :verb (AIP-136)"
        elif method.verb == "POST" and method.http.body != "*":
            yield f"{method.name}: a custom POST takes the whole request as body (AIP-136)"


def lists_paginate(api: Api) -> Iterator[str]:
    """AIP-158: what answers with a next_page_token takes page_size and page_token, and every List does."""
    for method in api.methods:
        paginated = "next_page_token" in api.fields_of(method.response)
        if method.name.startswith("List") and not paginated:
            yield f"{method.name}: the response has no next_page_token (AIP-158)"
        fields = api.fields_of(method.request)
        for name, kind in (("page_size", Field.TYPE_INT32), ("page_token", Field.TYPE_STRING)):
            if paginated and not has(fields, name, kind):
                yield f"{method.name}: the request has no {name} (AIP-158)"


def changes_take_a_request_id(api: Api) -> Iterator[str]:
    """AIP-155: the request of every method that changes something has a request_id; a batch has one in every item."""
    for method in api.methods:
        if method.verb == "GET" or method.name in NOT_CHANGING:
            continue
        fields = api.fields_of(method.request)
        if method.name.startswith("Batch") and "requests" in fields:
            fields = api.fields_of(fields["requests"].type_name.rpartition(".")[2])
        if not has(fields, "request_id", Field.TYPE_STRING):
            yield f"{method.name}: changes something and takes no request_id (AIP-155)"


def enums_begin_unspecified(api: Api) -> Iterator[str]:
    """AIP-126: value 0 is <ENUM>_UNSPECIFIED, and every value carries the enum's prefix."""
    for enum in (enum for file in api.files for enum in file.enum_type):
        prefix = snake(enum.name).upper() + "_"
        if enum.value[0].number != 0 or enum.value[0].name != f"{prefix}UNSPECIFIED":
            yield f"{enum.name}: value 0 is not {prefix}UNSPECIFIED (AIP-126)"
        yield from (
            f"{enum.name}: {value.name} lacks the prefix {prefix}"
            for value in enum.value
            if not value.name.startswith(prefix)
        )


def inputs_state_their_behavior(api: Api) -> Iterator[str]:
    """AIP-203: every field of a request and of a resource says whether it is required, optional or the server's."""
    requests = {method.request for method in api.methods}
    for message in api.messages.values():
        if message.name in requests or message.resource:
            for field in message.proto.field:
                if not behaviors(field):
                    yield f"{message.name}.{field.name}: no field_behavior (AIP-203)"


def quantities_end_in_their_unit(api: Api) -> Iterator[str]:
    """AIP-141, AIP-142, and our sheet: a number, an instant and a stretch of time say in their name what they count."""
    numbers = {Field.TYPE_INT32, Field.TYPE_INT64, Field.TYPE_UINT32, Field.TYPE_UINT64, Field.TYPE_DOUBLE}
    for message in api.messages.values():
        for field in message.proto.field:
            where = f"{message.name}.{field.name}"
            if field.type in {Field.TYPE_FLOAT, Field.TYPE_DOUBLE} and field.name.endswith("_micros"):
                yield f"{where}: an amount is never a float"
            if field.type in numbers and field.name not in PURE_NUMBERS and not field.name.endswith(UNITS):
                yield f"{where}: a number whose name does not end in its unit"
            instant = field.type_name == ".google.protobuf.Timestamp" and field.name not in INSTANTS
            if instant and not field.name.endswith("_time"):
                yield f"{where}: an instant whose name does not end in _time (AIP-142)"
            if field.type_name == ".google.protobuf.Duration" and not field.name.endswith(("_ttl", "_duration")):
                yield f"{where}: a duration whose name does not end in _ttl or _duration (AIP-142)"


def everything_is_commented(api: Api) -> Iterator[str]:
    """AIP-192: every service, RPC, message, field, enum, enum value and oneof has a comment."""
    for file in api.files:
        for path, label in commentable(file):
            if not api.comments.get((file.name, path)):
                yield f"{file.name}: {label} has no comment (AIP-192)"


def commentable(file: pb.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """What needs a comment, as (path in SourceCodeInfo, name): the numbers are the fields of descriptor.proto."""
    for index, message in enumerate(file.message_type):
        yield (4, index), message.name
        for number, field in enumerate(message.field):
            yield (4, index, 2, number), f"{message.name}.{field.name}"
        for number, oneof in enumerate(message.oneof_decl):
            # proto3 `optional` makes a oneof of one, which nobody wrote.
            if not oneof.name.startswith("_"):
                yield (4, index, 8, number), f"{message.name}.{oneof.name}"
    for index, enum in enumerate(file.enum_type):
        yield (5, index), enum.name
        for number, value in enumerate(enum.value):
            yield (5, index, 2, number), value.name
    for index, service in enumerate(file.service):
        yield (6, index), service.name
        for number, method in enumerate(service.method):
            yield (6, index, 2, number), method.name


def methods_say_who_may_call_and_what_an_outage_means(api: Api) -> Iterator[str]:
    """Our sheet: an RPC's comment names its scopes, and what a client does when the service is unreachable."""
    for method in api.methods:
        comment = " ".join(api.comments.get((method.file, method.path), "").split())
        for words in ("Scope: `", "When unreachable: "):
            if words not in comment:
                yield f"{method.name}: the comment does not say {words.strip(' `')!r}"


RULES: tuple[Callable[[Api], Iterator[str]], ...] = (
    resources_are_named,
    references_lead_somewhere,
    methods_have_http,
    methods_are_standard_or_custom,
    lists_paginate,
    changes_take_a_request_id,
    enums_begin_unspecified,
    inputs_state_their_behavior,
    quantities_end_in_their_unit,
    everything_is_commented,
    methods_say_who_may_call_and_what_an_outage_means,
)


def complaints(descriptors: pb.FileDescriptorSet) -> list[str]:
    """Every complaint of every rule, in the order of `RULES`. A set without `PACKAGE` is a complaint too."""
    api = Api(descriptors)
    if not api.methods:
        return [f"no service of {PACKAGE} in the descriptors"]
    return [complaint for rule in RULES for complaint in rule(api)]


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DESCRIPTORS
    found = complaints(pb.FileDescriptorSet.FromString(path.read_bytes()))
    for complaint in found:
        print(complaint, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
