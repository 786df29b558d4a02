"""What a resource, a data source and a function have to offer to become part of a provider."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from outlay_terraform.framework.diagnostics import Diagnostic, Failure, Path
from outlay_terraform.framework.schema import FunctionSchema, Schema
from outlay_terraform.framework.values import Value, Values

Service = TypeVar("Service")
"""What the provider was configured to talk to."""
Service_contra = TypeVar("Service_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Remote:
    """A resource as the service has it."""

    values: Values
    """Every attribute, in the service's words."""
    private: Mapping[str, str] = field(default_factory=dict)
    """What the provider has to remember beside the state: never shown, and no place for secrets."""


@dataclass(frozen=True, slots=True)
class Change:
    """One planned change, as it is applied."""

    prior: Values | None
    planned: Values
    config: Values
    """With what is write-only."""
    private: Mapping[str, str]

    def differs(self, name: str) -> bool:
        """Whether an attribute gets another value."""
        return self.prior is None or self.prior[name] != self.planned[name]


class Resource(Protocol[Service_contra]):
    """Something that is created, changed and deleted. Every method may raise `Failure` or what the service raises."""

    type_name: str
    schema: Schema

    def validate(self, config: Values) -> Iterable[Diagnostic]:
        """What is wrong between attributes; values may be unknown. Each attribute has been checked by itself."""

    def read(self, service: Service_contra, state: Values) -> Remote | None:
        """The resource of a state as it is now; None where it is gone."""

    def create(self, service: Service_contra, change: Change) -> Remote: ...

    def update(self, service: Service_contra, change: Change) -> Remote: ...

    def delete(self, service: Service_contra, prior: Values, private: Mapping[str, str]) -> None:
        """Where it is gone already, that is well."""

    def find(self, service: Service_contra, import_id: str) -> Remote:
        """What an import id names."""

    def foresee(self, service: Service_contra, prior: Values | None, planned: Values | None) -> Iterable[Diagnostic]:
        """What people should know before a creation (`prior` is None), a change, or a deletion (`planned` is None)."""

    def path_of(self, field: str) -> Path:
        """Where in the block a field stands that the service complains of; empty where it is of the block as such."""


class DataSource(Protocol[Service_contra]):
    """Something that is only read."""

    type_name: str
    schema: Schema

    def read(self, service: Service_contra, config: Values) -> Values: ...


class Function(Protocol):
    """A function, pure."""

    name: str
    schema: FunctionSchema

    def call(self, arguments: Sequence[Value]) -> Value:
        """Raises `BadArgument`."""


class BadArgument(Exception):
    """A function cannot take an argument."""

    def __init__(self, index: int, text: str) -> None:
        super().__init__(text)
        self.index = index


class Provider(Protocol[Service]):
    """All of a provider."""

    schema: Schema

    @property
    def resources(self) -> Mapping[str, Resource[Service]]: ...

    @property
    def data_sources(self) -> Mapping[str, DataSource[Service]]: ...

    @property
    def functions(self) -> Mapping[str, Function]: ...

    def connect(self, config: Values) -> Service:
        """The service by a configuration that is known. Raises `Failure`."""

    def failure(self, error: Exception, resource: Resource[Service] | None) -> Failure | None:
        """How an error of the service is told to people; None for what is no error of the service."""

    def hurry(self) -> None:
        """Somebody wants the run to end: give up what only waits."""
