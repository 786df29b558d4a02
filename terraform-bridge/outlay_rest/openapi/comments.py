"""The comments of the protos, by full name: they are the descriptions of the document."""

import functools
import importlib.resources
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from google.protobuf import descriptor_pb2 as pb

_LINE_BREAK: Final = re.compile(r"(?<!\n)\n(?!\n|[-*] )")


@functools.cache
def comments() -> Mapping[str, str]:
    """Comments of every service, method, message, field, enum and value of `outlay.v1`, each as Markdown.

    An enum value stands under its enum: `outlay.v1.Period.PERIOD_DAY`.
    """
    data = (importlib.resources.files("outlay.v1") / "descriptors.binpb").read_bytes()
    files = pb.FileDescriptorSet.FromString(data).file
    return dict(entry for file in files if file.package == "outlay.v1" for entry in _of_file(file))


def summary_and_description(comment: str) -> tuple[str, str]:
    """Split off the first sentence, without its full stop."""
    head, stop, _ = comment.partition(". ")
    return (head if stop else comment.split("\n")[0]).rstrip(".").replace("\n", " "), comment


def _of_file(file: pb.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    texts = {tuple(location.path): location.leading_comments for location in file.source_code_info.location}

    def found(full_name: str, path: tuple[int, ...]) -> Iterator[tuple[str, str]]:
        if text := texts.get(path, "").strip():
            yield full_name, _LINE_BREAK.sub(" ", re.sub(r"(?m)^ ", "", text))

    def walk(
        parent: str, items: Sequence[Any], path: tuple[int, ...], children: Mapping[str, int]
    ) -> Iterator[tuple[str, str]]:
        for index, item in enumerate(items):
            name, item_path = f"{parent}.{item.name}", (*path, index)
            yield from found(name, item_path)
            for attribute, number in children.items():
                yield from walk(name, getattr(item, attribute), (*item_path, number), {})

    # The numbers are those of the fields of FileDescriptorProto and its parts, which source locations are made of.
    yield from walk(file.package, file.message_type, (4,), {"field": 2})
    yield from walk(file.package, file.enum_type, (5,), {"value": 2})
    yield from walk(file.package, file.service, (6,), {"method": 2})
