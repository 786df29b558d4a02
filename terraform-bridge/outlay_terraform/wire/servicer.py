# ruff: noqa: N802  # the methods are called like their RPCs
"""Terraform's RPCs: parse, ask the lifecycle, answer."""

from collections.abc import Sequence
from typing import Any

import grpc

from outlay_terraform.framework.contracts import BadArgument
from outlay_terraform.framework.lifecycle import Lifecycle
from outlay_terraform.framework.schema import Schema
from outlay_terraform.framework.types import Type
from outlay_terraform.framework.values import Value, Values, decode, decode_json, encode
from outlay_terraform.wire import to_wire
from tfplugin6 import provider_pb2 as pb
from tfplugin6.provider_pb2_grpc import ProviderServicer

Context = grpc.ServicerContext


class Servicer(ProviderServicer):
    """Serves one provider to one Terraform process, or to several that reattach."""

    def __init__(self, lifecycle: Lifecycle[Any]) -> None:
        self._lifecycle = lifecycle
        self._provider = lifecycle.provider

    # --- what there is ------------------------------------------------------------------------------------------------

    def GetProviderSchema(
        self, request: pb.GetProviderSchema.Request, context: Context
    ) -> pb.GetProviderSchema.Response:
        provider = self._provider
        return pb.GetProviderSchema.Response(
            provider=to_wire.schema(provider.schema),
            resource_schemas={name: to_wire.schema(each.schema) for name, each in provider.resources.items()},
            data_source_schemas={name: to_wire.schema(each.schema) for name, each in provider.data_sources.items()},
            functions={name: to_wire.function(each) for name, each in provider.functions.items()},
            server_capabilities=pb.ServerCapabilities(plan_destroy=True, get_provider_schema_optional=True),
        )

    def GetFunctions(self, request: pb.GetFunctions.Request, context: Context) -> pb.GetFunctions.Response:
        functions = {name: to_wire.function(each) for name, each in self._provider.functions.items()}
        return pb.GetFunctions.Response(functions=functions)

    # --- checks -------------------------------------------------------------------------------------------------------

    def ValidateProviderConfig(
        self, request: pb.ValidateProviderConfig.Request, context: Context
    ) -> pb.ValidateProviderConfig.Response:
        found = self._lifecycle.validate(self._provider.schema, _object(request.config, self._provider.schema))
        return pb.ValidateProviderConfig.Response(diagnostics=to_wire.diagnostics(found))

    def ValidateResourceConfig(
        self, request: pb.ValidateResourceConfig.Request, context: Context
    ) -> pb.ValidateResourceConfig.Response:
        config = _object(request.config, self._resource(request.type_name))
        takes_write_only = request.client_capabilities.write_only_attributes_allowed
        found = self._lifecycle.validate_resource(request.type_name, config, takes_write_only=takes_write_only)
        return pb.ValidateResourceConfig.Response(diagnostics=to_wire.diagnostics(found))

    def ValidateDataResourceConfig(
        self, request: pb.ValidateDataResourceConfig.Request, context: Context
    ) -> pb.ValidateDataResourceConfig.Response:
        schema = self._provider.data_sources[request.type_name].schema
        found = self._lifecycle.validate(schema, _object(request.config, schema))
        return pb.ValidateDataResourceConfig.Response(diagnostics=to_wire.diagnostics(found))

    # --- work ---------------------------------------------------------------------------------------------------------

    def ConfigureProvider(
        self, request: pb.ConfigureProvider.Request, context: Context
    ) -> pb.ConfigureProvider.Response:
        found = self._lifecycle.configure(_object(request.config, self._provider.schema))
        return pb.ConfigureProvider.Response(diagnostics=to_wire.diagnostics(found))

    def UpgradeResourceState(
        self, request: pb.UpgradeResourceState.Request, context: Context
    ) -> pb.UpgradeResourceState.Response:
        state = self._lifecycle.upgrade(request.type_name, request.raw_state.json)
        return pb.UpgradeResourceState.Response(upgraded_state=_dynamic(state))

    def ReadResource(self, request: pb.ReadResource.Request, context: Context) -> pb.ReadResource.Response:
        state = _object(request.current_state, self._resource(request.type_name))
        outcome = self._lifecycle.read(request.type_name, state, request.private)
        return pb.ReadResource.Response(
            new_state=_dynamic(outcome.values),
            private=outcome.private,
            diagnostics=to_wire.diagnostics(outcome.diagnostics),
        )

    def PlanResourceChange(
        self, request: pb.PlanResourceChange.Request, context: Context
    ) -> pb.PlanResourceChange.Response:
        schema = self._resource(request.type_name)
        prior = _value(request.prior_state, schema.type)
        # What is proposed is null for what is to be destroyed, and else no more than the configuration and the prior.
        wanted = _value(request.proposed_new_state, schema.type)
        config = None if wanted is None else _object(request.config, schema)
        outcome = self._lifecycle.plan(request.type_name, prior, config, request.prior_private)
        return pb.PlanResourceChange.Response(
            planned_state=_dynamic(outcome.values),
            planned_private=outcome.private,
            requires_replace=[to_wire.path(each) for each in outcome.replace],
            diagnostics=to_wire.diagnostics(outcome.diagnostics),
        )

    def ApplyResourceChange(
        self, request: pb.ApplyResourceChange.Request, context: Context
    ) -> pb.ApplyResourceChange.Response:
        kind = self._resource(request.type_name).type
        prior, planned = _value(request.prior_state, kind), _value(request.planned_state, kind)
        config = _value(request.config, kind)
        outcome = self._lifecycle.apply(request.type_name, prior, planned, config, request.planned_private)
        return pb.ApplyResourceChange.Response(
            new_state=_dynamic(outcome.values),
            private=outcome.private,
            diagnostics=to_wire.diagnostics(outcome.diagnostics),
        )

    def ImportResourceState(
        self, request: pb.ImportResourceState.Request, context: Context
    ) -> pb.ImportResourceState.Response:
        outcome = self._lifecycle.import_state(request.type_name, request.id)
        imported = pb.ImportResourceState.ImportedResource(
            type_name=request.type_name, state=_dynamic(outcome.values), private=outcome.private
        )
        return pb.ImportResourceState.Response(
            imported_resources=[] if outcome.values is None else [imported],
            diagnostics=to_wire.diagnostics(outcome.diagnostics),
        )

    def ReadDataSource(self, request: pb.ReadDataSource.Request, context: Context) -> pb.ReadDataSource.Response:
        config = _object(request.config, self._provider.data_sources[request.type_name].schema)
        outcome = self._lifecycle.read_data(request.type_name, config)
        return pb.ReadDataSource.Response(
            state=_dynamic(outcome.values), diagnostics=to_wire.diagnostics(outcome.diagnostics)
        )

    def CallFunction(self, request: pb.CallFunction.Request, context: Context) -> pb.CallFunction.Response:
        kinds: Sequence[tuple[Type, str]] = list(self._provider.functions[request.name].schema.parameters.values())
        arguments = [_value(each, kind) for each, (kind, _) in zip(request.arguments, kinds, strict=True)]
        try:
            return pb.CallFunction.Response(result=_dynamic(self._lifecycle.call_function(request.name, arguments)))
        except BadArgument as bad:
            return pb.CallFunction.Response(error=pb.FunctionError(text=str(bad), function_argument=bad.index))

    def StopProvider(self, request: pb.StopProvider.Request, context: Context) -> pb.StopProvider.Response:
        self._provider.hurry()
        return pb.StopProvider.Response()

    def _resource(self, type_name: str) -> Schema:
        return self._provider.resources[type_name].schema


def _value(message: pb.DynamicValue, kind: Type) -> Value:
    # Terraform prefers MessagePack, and may send JSON where nothing is unknown.
    if message.json and not message.msgpack:
        return decode_json(message.json, kind)
    return decode(message.msgpack, kind) if message.msgpack else None


def _object(message: pb.DynamicValue, schema: Schema) -> Values:
    values: Values = _value(message, schema.type)
    return values


def _dynamic(value: Value) -> pb.DynamicValue:
    return pb.DynamicValue(msgpack=encode(value))
