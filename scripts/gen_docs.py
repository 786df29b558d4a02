"""Generate `docs/reference/` from the comments in the protos, as `gen/` holds them.

One page a service, one for all messages and one for all enums; the same descriptors give the same pages.

python scripts/gen_docs.py           write docs/reference/
python scripts/gen_docs.py --check   exit 1 and name each stale page
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2 as pb

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTORS = ROOT / "gen" / "outlay" / "v1" / "descriptors.binpb"
OUT = ROOT / "docs" / "reference"
PACKAGE = "outlay.v1"
WIDTH = 120

Field = pb.FieldDescriptorProto

SCALARS = {
    Field.TYPE_BOOL: "bool",
    Field.TYPE_DOUBLE: "double",
    Field.TYPE_INT32: "int32",
    Field.TYPE_INT64: "int64",
    Field.TYPE_STRING: "string",
}
"""Those that the contract uses; another one is a KeyError here and wants a line."""

BEHAVIORS = {
    field_behavior_pb2.REQUIRED: "required",
    field_behavior_pb2.OUTPUT_ONLY: "output only",
    field_behavior_pb2.IMMUTABLE: "immutable",
    field_behavior_pb2.IDENTIFIER: "identifier",
}
"""Behaviours that a reader must know of; that a field is optional goes without saying."""

GENERATED = "<!-- Generated from proto/ by scripts/gen_docs.py; change the comments there. -->"


@dataclass(frozen=True)
class Item:
    """A service, message or enum with its place in the file, by which its comments are found."""

    file: pb.FileDescriptorProto
    path: tuple[int, ...]
    proto: pb.ServiceDescriptorProto | pb.DescriptorProto | pb.EnumDescriptorProto

    @property
    def name(self) -> str:
        return self.proto.name


class Api:
    """The files of the package, and where each of its types is described."""

    def __init__(self, descriptors: pb.FileDescriptorSet) -> None:
        self.files = [file for file in descriptors.file if file.package == PACKAGE]
        self._comments = {
            (file.name, tuple(place.path)): place.leading_comments
            for file in self.files
            for place in file.source_code_info.location
        }

    def services(self) -> list[Item]:
        return [Item(file, (6, at), proto) for file in self.files for at, proto in enumerate(file.service)]

    def messages(self) -> list[Item]:
        found = (Item(file, (4, at), proto) for file in self.files for at, proto in enumerate(file.message_type))
        return sorted(found, key=lambda item: item.name)

    def enums(self) -> list[Item]:
        found = (Item(file, (5, at), proto) for file in self.files for at, proto in enumerate(file.enum_type))
        return sorted(found, key=lambda item: item.name)

    def link(self, type_name: str) -> str:
        """A link to the description of a type of ours; the bare name of a type of Google's."""
        package, _, name = type_name.lstrip(".").rpartition(".")
        if package != PACKAGE:
            return f"`{package}.{name}`"
        page = "enums" if any(name == enum.name for enum in self.enums()) else "messages"
        return f"[{name}]({page}.md#{name.lower()})"

    def paragraphs(self, item: Item, *path: int) -> list[str]:
        """The comment at a place below an item, one string a paragraph, without line breaks."""
        comment = self._comments.get((item.file.name, (*item.path, *path)), "")
        return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", comment) if paragraph.strip()]


def main() -> int:
    """Write the pages, or with --check compare them; the exit status."""
    parser = argparse.ArgumentParser(description="Generate docs/reference/ from the protos' comments.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is stale")
    check = parser.parse_args().check
    wanted = pages(Api(pb.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())))
    there = {path.name: path.read_text() for path in OUT.glob("*.md")}
    stale = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if check:
        for name in stale:
            print(f"docs/reference/{name} is not what proto/ says: run python scripts/gen_docs.py", file=sys.stderr)
        return 1 if stale else 0
    OUT.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in wanted:
            (OUT / name).write_text(wanted[name])
        else:
            (OUT / name).unlink()
    print(f"docs/reference/: {len(stale)} page(s) changed")
    return 0


def pages(api: Api) -> dict[str, str]:
    """The text of every page by its file name. The same descriptors give the same text."""
    services = {f"{kebab(service.name)}.md": service_page(api, service) for service in api.services()}
    return services | {"messages.md": messages_page(api), "enums.md": enums_page(api), "README.md": index_page(api)}


def index_page(api: Api) -> str:
    rows = [
        f"| [{item.name}]({kebab(item.name)}.md) | {first_sentence(api.paragraphs(item)[0])} |"
        for item in api.services()
    ]
    return document(
        "# API reference",
        "",
        f"Package `{PACKAGE}`, from the comments in `proto/outlay/v1/`. How the same calls look over HTTP is in"
        " [rest.md](../rest.md), the errors are in [errors.md](../errors.md).",
        "",
        "| page | what it is |",
        "| --- | --- |",
        *rows,
        "| [messages](messages.md) | Every message with its fields. |",
        "| [enums](enums.md) | Every enum with its values. |",
    )


def service_page(api: Api, service: Item) -> str:
    assert isinstance(service.proto, pb.ServiceDescriptorProto)
    lines = [f"# {service.name}", "", *spaced(api.paragraphs(service)), "| RPC | HTTP | |", "| --- | --- | --- |"]
    for at, method in enumerate(service.proto.method):
        summary = first_sentence(api.paragraphs(service, 2, at)[0])
        lines.append(f"| [{method.name}](#{method.name.lower()}) | `{http(method)}` | {cell(summary)} |")
    for at, method in enumerate(service.proto.method):
        answer = ("stream of " if method.server_streaming else "") + api.link(method.output_type)
        takes = f"`{http(method)}`{body(method)}. Takes {api.link(method.input_type)}, answers {answer}."
        lines += ["", f"## {method.name}", "", takes, "", *spaced(api.paragraphs(service, 2, at))[:-1]]
    return document(*lines)


def messages_page(api: Api) -> str:
    lines = ["# Messages", "", "A field marked `?` may be absent, and absent differs from its default.", ""]
    for message in api.messages():
        assert isinstance(message.proto, pb.DescriptorProto)
        lines += [f"## {message.name}", "", *spaced(api.paragraphs(message))]
        if message.proto.field:
            lines += ["| field | type | | what it is |", "| --- | --- | --- | --- |"]
        for at, field in enumerate(message.proto.field):
            notes = ", ".join(BEHAVIORS[each] for each in behaviors(field) if each in BEHAVIORS)
            name = f"`{field.name}`{'?' if field.proto3_optional else ''}"
            text = cell(" ".join(api.paragraphs(message, 2, at)))
            lines.append(f"| {name} | {type_of(api, field, message.proto)} | {notes} | {text} |")
        lines.append("")
    return document(*lines)


def enums_page(api: Api) -> str:
    lines = ["# Enums", "", "Names carry the prefix that the first row of each table shows.", ""]
    for enum in api.enums():
        assert isinstance(enum.proto, pb.EnumDescriptorProto)
        lines += [
            f"## {enum.name}",
            "",
            *spaced(api.paragraphs(enum)),
            "| value | | what it is |",
            "| --- | --- | --- |",
        ]
        for at, value in enumerate(enum.proto.value):
            text = cell(" ".join(api.paragraphs(enum, 2, at)))
            lines.append(f"| `{value.name}` | {value.number} | {text} |")
        lines.append("")
    return document(*lines)


def type_of(api: Api, field: Field, message: pb.DescriptorProto) -> str:
    """A field's type as a reader of the proto would write it, with a link to ours."""
    nested = {f".{PACKAGE}.{message.name}.{each.name}": each for each in message.nested_type}
    if field.type_name in nested:
        key, value = nested[field.type_name].field
        return f"map of {type_of(api, key, message)} to {type_of(api, value, message)}"
    base = api.link(field.type_name) if field.type_name else SCALARS[field.type]
    return f"repeated {base}" if field.label == Field.LABEL_REPEATED else base


def behaviors(field: Field) -> list[int]:
    return list(field.options.Extensions[field_behavior_pb2.field_behavior])


def http(method: pb.MethodDescriptorProto) -> str:
    rule = method.options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    assert verb is not None, f"{method.name} has no google.api.http rule"
    return f"{verb.upper()} {getattr(rule, verb)}"


def body(method: pb.MethodDescriptorProto) -> str:
    rule = method.options.Extensions[annotations_pb2.http]
    if not rule.body:
        return ""
    return ", the request as its body" if rule.body == "*" else f", `{rule.body}` as its body"


def spaced(paragraphs: list[str]) -> list[str]:
    return [line for paragraph in paragraphs for line in (*wrapped(paragraph), "")]


def wrapped(paragraph: str) -> Iterator[str]:
    """The paragraph in lines of at most `WIDTH`, broken at spaces only."""
    line = ""
    for word in paragraph.split(" "):
        if line and len(line) + 1 + len(word) > WIDTH:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def first_sentence(paragraph: str) -> str:
    return re.split(r"(?<=[.])\s+(?=[A-Z])", paragraph, maxsplit=1)[0]


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def document(*lines: str) -> str:
    return "\n".join([GENERATED, "", *lines]).rstrip("\n") + "\n"


if __name__ == "__main__":
    sys.exit(main())
