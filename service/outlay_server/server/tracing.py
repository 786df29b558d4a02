"""Traces, where they are asked for: a span a call, under the caller's own, sent by OTLP over HTTP.

OpenTelemetry is the extra `otel`, and nothing of it is loaded unless a setting says where spans go.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import Message

from outlay_server.api.dispatcher import Dispatcher
from outlay_server.api.errors import code_of
from outlay_server.domain.errors import OutlayError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_STANDARD_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_TRACES_PATH: Final = "/v1/traces"


class TracingUnavailable(Exception):
    """Traces are asked for and cannot be made, and what to install."""


class Tracing:
    """Spans of this process and the way they leave it."""

    def __init__(self, tracer: "Tracer", stop: Callable[[], None]) -> None:
        self.tracer = tracer
        self.stop = stop
        """Send what is left; blocks until that is done or given up."""


def start_tracing(endpoint: str | None, *, version: str) -> Tracing | None:
    """Return the tracing that a setting or a standard OTEL_ variable asks for, or None. Raises `TracingUnavailable`."""
    if endpoint is None and not any(os.environ.get(name) for name in _STANDARD_VARIABLES):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise TracingUnavailable(
            f"Traces need the module {error.name}. Install it with: pip install 'outlay[otel]', or unset "
            f"OUTLAY_OTEL_ENDPOINT and {', '.join(_STANDARD_VARIABLES)}."
        ) from error
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, where they are set, win over the name given here.
    name = os.environ.get("OTEL_SERVICE_NAME", "outlay")
    resource = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=None if endpoint is None else f"{endpoint.rstrip('/')}{_TRACES_PATH}")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider.get_tracer("outlay_server", version), provider.shutdown)


_TRACE_CONTEXT: Final = ("traceparent", "tracestate")  # https://www.w3.org/TR/trace-context/
_of_this_call: ContextVar[Mapping[str, str]] = ContextVar("trace_context")


class TraceContext(grpc.aio.ServerInterceptor):
    """Keeps what a gRPC caller sent of its trace for the span of its call, which runs in the same task."""

    async def intercept_service(  # type: ignore[override]  # its stubs want a function generic in both messages
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any]"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        sent = handler_call_details.invocation_metadata or ()
        _of_this_call.set({key: str(value) for key, value in sent if key in _TRACE_CONTEXT})
        return await continuation(handler_call_details)


class TracedDispatcher(Dispatcher):
    """A dispatcher that makes a span of every call."""

    def __init__(self, tracer: "Tracer", **parts: Any) -> None:
        super().__init__(**parts)
        self._tracer = tracer

    async def call(
        self,
        method: str,
        request: Message | bytes,
        metadata: Mapping[str, str],
        *,
        source: str,
        deadline_seconds: float | None,
        correlation_id: str | None = None,
    ) -> Message:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        sent = metadata if _TRACE_CONTEXT[0] in metadata else _of_this_call.get({})
        service, _, name = method.removeprefix("/").partition("/")
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": name,
            "outlay.source": source,
            "outlay.correlation_id": correlation_id or "",
        }
        with self._tracer.start_as_current_span(
            method.removeprefix("/"),
            TraceContextTextMapPropagator().extract(sent),
            SpanKind.SERVER,
            attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                answer = await super().call(
                    method,
                    request,
                    metadata,
                    source=source,
                    deadline_seconds=deadline_seconds,
                    correlation_id=correlation_id,
                )
            except OutlayError as error:
                span.set_attribute("rpc.grpc.status_code", code_of(error).value[0])
                span.set_attribute("error.type", error.reason.value)
                span.set_status(Status(StatusCode.ERROR, error.message))
                raise
            span.set_attribute("rpc.grpc.status_code", 0)
            return answer
