"""One provider at work: each of Terraform's questions as values in, values and diagnostics out. No wire."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from outlay_terraform.framework.contracts import Change, DataSource, Provider, Remote, Resource
from outlay_terraform.framework.diagnostics import Diagnostic, Failure, Path, error
from outlay_terraform.framework.plan import plan_change, settled
from outlay_terraform.framework.schema import Schema
from outlay_terraform.framework.values import Unknown, Value, Values, decode_json, is_known

Service = TypeVar("Service")
Answer = TypeVar("Answer")

log: Final = logging.getLogger("outlay.terraform")

Private = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A resource after a question, and what to say about it."""

    values: Values | None
    private: bytes
    diagnostics: Sequence[Diagnostic] = ()
    replace: Sequence[Path] = ()


class Lifecycle(Generic[Service]):
    """Serves one provider. Its methods are called from many threads at once, after `configure` has returned."""

    def __init__(self, provider: Provider[Service]) -> None:
        self.provider = provider
        self._service: Service | None = None

    # --- configuration ------------------------------------------------------------------------------------------------

    def configure(self, config: Values) -> list[Diagnostic]:
        """Connect. Where a setting is not known yet, what can be planned without the service still is."""
        if not is_known(config):
            self._service = None
            return []
        found = list(self.provider.schema.complaints(config))
        if found:
            return found
        try:
            self._service = self.provider.connect(config)
        except Failure as failure:
            return list(failure.diagnostics)
        return []

    def validate(self, schema: Schema, config: Values) -> list[Diagnostic]:
        return list(schema.complaints(config))

    def validate_resource(self, type_name: str, config: Values, *, takes_write_only: bool) -> list[Diagnostic]:
        resource = self.provider.resources[type_name]
        found = [*resource.schema.complaints(config), *resource.validate(config)]
        for each in resource.schema.attributes:
            if each.write_only and config[each.name] is not None and not takes_write_only:
                found.append(error("Terraform is too old", f"{each.name} takes Terraform 1.11 or newer.", (each.name,)))
        return found

    # --- resources ----------------------------------------------------------------------------------------------------

    def upgrade(self, type_name: str, stored: bytes) -> Values:
        """Stored state in today's shape. What today's schema does not have is dropped, what is missing is null."""
        values: Values = decode_json(stored, self.provider.resources[type_name].schema.type)
        return values

    def read(self, type_name: str, state: Values, private: bytes) -> Outcome:
        """The resource as it is now, in the words of the state where they mean the same."""
        resource = self.provider.resources[type_name]
        service = self._service
        if service is None:
            # The endpoint is known only during apply. Nobody can say more about the resource than its state does.
            return Outcome(state, private)
        try:
            remote = self._told(resource, lambda: resource.read(service, state))
        except Failure as failure:
            return Outcome(state, private, failure.diagnostics)
        if remote is None:
            return Outcome(None, b"")
        return Outcome(resource.schema.as_written(state, remote.values), _packed(remote))

    def plan(self, type_name: str, prior: Values | None, config: Values | None, private: bytes) -> Outcome:
        """The planned state; without `config` the resource is to be destroyed."""
        resource = self.provider.resources[type_name]
        if config is None:
            assert prior is not None, "only what is there can be destroyed"
            return Outcome(None, private, self._foreseen(resource, prior, None))
        plan = plan_change(resource.schema, prior, config)
        # A replacement is planned once more as a creation; here its destruction is what there is to warn of.
        ahead = None if plan.replace else plan.planned
        warnings = self._foreseen(resource, prior, ahead) if plan.changes else []
        return Outcome(plan.planned, private, warnings, plan.replace)

    def apply(
        self, type_name: str, prior: Values | None, planned: Values | None, config: Values | None, private: bytes
    ) -> Outcome:
        """Make the plan true. After an error the state is what certainly holds, and never less."""
        resource = self.provider.resources[type_name]
        try:
            service = self._connected()
            if planned is None or config is None:
                assert prior is not None, "only what is there can be destroyed"
                self._told(resource, lambda: resource.delete(service, prior, _unpacked(private)))
                return Outcome(None, b"")
            change = Change(prior, planned, config, _unpacked(private))
            act = resource.create if prior is None else resource.update
            remote = self._told(resource, lambda: act(service, change))
        except Failure as failure:
            return Outcome(_after(failure, prior, planned), private, failure.diagnostics)
        return Outcome(settled(resource.schema, planned, remote.values), _packed(remote))

    def import_state(self, type_name: str, import_id: str) -> Outcome:
        resource = self.provider.resources[type_name]
        try:
            service = self._connected()
            remote = self._told(resource, lambda: resource.find(service, import_id))
        except Failure as failure:
            return Outcome(None, b"", failure.diagnostics)
        return Outcome(remote.values, _packed(remote))

    # --- data ---------------------------------------------------------------------------------------------------------

    def read_data(self, type_name: str, config: Values) -> Outcome:
        source: DataSource[Service] = self.provider.data_sources[type_name]
        try:
            service = self._connected()
            return Outcome(self._told(None, lambda: source.read(service, config)), b"")
        except Failure as failure:
            return Outcome(None, b"", failure.diagnostics)

    def call_function(self, name: str, arguments: Sequence[Value]) -> Value:
        """Raises `BadArgument`."""
        return self.provider.functions[name].call(arguments)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _connected(self) -> Service:
        if self._service is None:
            raise Failure(
                error(
                    "The provider is not configured",
                    "A setting of the provider is not known before apply. Use values that are known when planning, or"
                    " apply in two steps with -target.",
                )
            )
        return self._service

    def _told(self, resource: Resource[Service] | None, act: Callable[[], Answer]) -> Answer:
        """What `act` returns; whatever it raises becomes a `Failure`."""
        try:
            return act()
        except Failure:
            raise
        except Exception as raised:
            failure = self.provider.failure(raised, resource)
            if failure is not None:
                raise failure from None
            log.exception("a defect of the provider")
            text = f"{type(raised).__name__}. The provider's log (TF_LOG=ERROR) says where; please report it."
            raise Failure(error("The provider failed", text), effect_unknown=True) from raised

    def _foreseen(self, resource: Resource[Service], prior: Values | None, planned: Values | None) -> list[Diagnostic]:
        """Warnings. They are worth a look at the service, and no failure where it cannot be had."""
        service = self._service
        if service is None:
            return []
        try:
            return list(self._told(resource, lambda: _listed(resource.foresee(service, prior, planned))))
        except Failure as failure:
            log.warning("a plan could not be checked against the service: %s", failure)
            return []


def _listed(items: Iterable[Any]) -> list[Any]:
    return list(items)


def _after(failure: Failure, prior: Values | None, planned: Values | None) -> Values | None:
    """The state after a failed apply.

    What may have been created is kept, and Terraform marks it as tainted: the next run finds out. Anything else is as
    it was, and the next run reads what it is.
    """
    if prior is None and planned is not None and failure.effect_unknown:
        return {name: None if isinstance(value, Unknown) else value for name, value in planned.items()}
    return prior


def _packed(remote: Remote) -> bytes:
    return json.dumps(dict(remote.private), sort_keys=True).encode() if remote.private else b""


def _unpacked(private: bytes) -> Private:
    return dict(json.loads(private)) if private else {}
