"""Parts that are not installed are named, with what installs them, when a setting asks for them."""

import sys
from collections.abc import Callable

import pytest

from outlay_server.server.build import create_store
from outlay_server.server.settings import Settings
from outlay_server.server.tracing import TracingUnavailable, start_tracing
from outlay_server.store.contract import StoreUnusable


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make modules impossible to import, and forget those that were imported with their help."""

    def remove(missing: str, *forgotten: str) -> None:
        for name in forgotten:
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setitem(sys.modules, missing, None)

    return remove


def test_postgresql_without_its_driver_is_refused_with_what_to_install(
    without: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    without("asyncpg", "outlay_server.store.postgres")
    monkeypatch.setenv("OUTLAY_DATABASE_URL", "postgresql://db/outlay")
    with pytest.raises(StoreUnusable, match=r"needs the module asyncpg.*pip install 'outlay\[postgres\]'"):
        create_store(Settings.load())


def test_traces_without_opentelemetry_are_refused_with_what_to_install(without: Callable[..., None]) -> None:
    missing = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    without(missing)
    with pytest.raises(TracingUnavailable, match=r"needs? the module opentelemetry.*pip install 'outlay\[otel\]'"):
        start_tracing("http://127.0.0.1:4318", version="1")


def test_nothing_is_traced_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert start_tracing(None, version="1") is None
