"""Field masks as text, in a query and in a body: names with commas between them."""

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from outlay_rest.fields import Unreadable, fields_by_key


def mask_from_text(text: str, field: FieldDescriptor) -> list[str]:
    """Read `hardCapMicros,cycle.time_zone`: both spellings of each name, for `json_format` would refuse one of them.

    The names are those of the resource that the request changes; `field` is the request's mask. What is not one stays
    as it is, for the handler to refuse with every other path that it does not allow.
    """
    request = field.containing_type
    assert request is not None
    resource = next(
        (
            f.message_type
            for f in request.fields
            if f.message_type is not None and "etag" in f.message_type.fields_by_name
        ),
        None,
    )
    paths = text.split(",")
    if not all(paths):
        raise Unreadable("must be names of fields with commas between them")
    return [_proto_names(path, resource) for path in paths]


def _proto_names(path: str, descriptor: Descriptor | None) -> str:
    names = []
    for name in path.split("."):
        field = fields_by_key(descriptor).get(name) if descriptor is not None else None
        names.append(name if field is None else field.name)
        descriptor = None if field is None else field.message_type
    return ".".join(names)
