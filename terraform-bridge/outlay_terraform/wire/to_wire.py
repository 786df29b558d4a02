"""Schemas, diagnostics and paths as Terraform's messages."""

from collections.abc import Iterable

from outlay_terraform.framework.contracts import Function
from outlay_terraform.framework.diagnostics import Diagnostic, Key, Path, Severity
from outlay_terraform.framework.schema import Attribute, Mode, Schema
from outlay_terraform.framework.types import Collection, constraint
from tfplugin6 import provider_pb2 as pb

_SEVERITIES = {Severity.ERROR: pb.Diagnostic.ERROR, Severity.WARNING: pb.Diagnostic.WARNING}


def schema(block: Schema) -> pb.Schema:
    return pb.Schema(
        version=block.version,
        block=pb.Schema.Block(
            version=block.version,
            attributes=[attribute(each) for each in block.attributes],
            description=block.description,
            description_kind=pb.MARKDOWN,
        ),
    )


def attribute(each: Attribute) -> pb.Schema.Attribute:
    message = pb.Schema.Attribute(
        name=each.name,
        description=each.description,
        description_kind=pb.MARKDOWN,
        required=each.mode is Mode.REQUIRED,
        optional=each.mode in (Mode.OPTIONAL, Mode.DEFAULTED),
        computed=each.mode in (Mode.COMPUTED, Mode.DEFAULTED),
        sensitive=each.sensitive,
        write_only=each.write_only,
    )
    if each.members:
        message.nested_type.nesting = (
            pb.Schema.Object.LIST if isinstance(each.type, Collection) else pb.Schema.Object.SINGLE
        )
        message.nested_type.attributes.extend(attribute(member) for member in each.members)
    else:
        message.type = constraint(each.type)
    return message


def function(each: Function) -> pb.Function:
    declared = each.schema
    return pb.Function(
        summary=declared.summary,
        description=declared.description,
        description_kind=pb.MARKDOWN,
        parameters=[
            pb.Function.Parameter(
                name=name, type=constraint(kind), description=description, description_kind=pb.MARKDOWN
            )
            for name, (kind, description) in declared.parameters.items()
        ],
        **{"return": pb.Function.Return(type=constraint(declared.result))},
    )


def diagnostics(found: Iterable[Diagnostic]) -> list[pb.Diagnostic]:
    return [
        pb.Diagnostic(
            severity=_SEVERITIES[each.severity],
            summary=each.summary,
            detail=each.detail,
            attribute=path(each.path) if each.path else None,
        )
        for each in found
    ]


def path(way: Path) -> pb.AttributePath:
    """The way, as far as Terraform finds its line: into lists and maps, and not into the objects of attributes."""
    is_member = [index for index, each in enumerate(way) if index and isinstance(each, str)]
    return pb.AttributePath(steps=[_step(each) for each in way[: is_member[0] if is_member else None]])


def _step(step: str | int | Key) -> pb.AttributePath.Step:
    match step:
        case Key():
            return pb.AttributePath.Step(element_key_string=step.text)
        case int():
            return pb.AttributePath.Step(element_key_int=step)
        case str():
            return pb.AttributePath.Step(attribute_name=step)
