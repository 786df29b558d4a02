"""Logs are JSON, one object a line, and never hold a secret."""

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import structlog

from outlay_server.domain.api_key import assemble
from outlay_server.server.call_log import LINES_PER_SECOND_MAX, CallLog
from outlay_server.server.logs import configure_logs
from outlay_server.server.redaction import redact

KEY = assemble(b"01234567890123456789")


class Log(io.StringIO):
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    """The log at info; afterwards logging is as it was."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook)
    stream = Log()
    configure_logs("info", stream=stream)
    yield stream
    root.handlers[:], sys.excepthook = before[0], before[2]
    root.setLevel(before[1])
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_a_line_of_the_standard_library_is_json_with_what_was_added(log: Log) -> None:
    logging.getLogger("outlay_server.somewhere").warning("it %s", "happened", extra={"count": 3})
    (line,) = log.lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "it happened", "level": "warning", "logger": "outlay_server.somewhere", "count": 3}


def test_a_line_of_structlog_looks_the_same(log: Log) -> None:
    structlog.get_logger("outlay_server.somewhere").info("it happened", count=3)
    (line,) = log.lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "it happened", "level": "info", "logger": "outlay_server.somewhere", "count": 3}


def test_what_is_bound_to_a_call_is_in_each_of_its_lines(log: Log) -> None:
    with structlog.contextvars.bound_contextvars(correlation_id="c-1"):
        logging.getLogger("a").error("inside")
    logging.getLogger("a").error("outside")
    assert [line.get("correlation_id") for line in log.lines()] == ["c-1", None]


def test_an_exception_is_one_line_with_its_traceback(log: Log) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("a").exception("failed")
    (line,) = log.lines()
    assert "ZeroDivisionError: division by zero" in line["exception"]


def test_a_secret_is_nowhere_in_a_line(log: Log) -> None:
    """In the message, an argument, a field, a name, inside a structure, and in an exception with its cause."""
    logger = logging.getLogger("a")
    logger.warning("key %s", KEY, extra={"header": f"Bearer {KEY}", "nested": {"deep": [KEY]}, KEY: 1})
    structlog.get_logger("b").warning(f"key {KEY}", key=KEY.encode())
    try:
        try:
            raise KeyError(KEY)
        except KeyError as cause:
            raise RuntimeError(f"postgresql://outlay:geheim@db/outlay {KEY}") from cause
    except RuntimeError:
        logger.exception("failed")
    warnings.warn(f"beware of {KEY}", UserWarning, stacklevel=1)
    error = ValueError(KEY)
    sys.excepthook(ValueError, error, None)
    text = log.getvalue()
    assert (KEY in text, "geheim" in text, text.count("sk_[redacted]") >= 9, len(log.lines())) == (
        False,
        False,
        True,
        5,
    )


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"Bearer {KEY}", "Bearer sk_[redacted]"),
        (f"{KEY[:12]}", "sk_[redacted]"),
        (f'"{KEY.upper().replace("SK_", "sk_")}"', '"sk_[redacted]"'),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_[redacted]"),
        (
            "postgresql+asyncpg://outlay:p%40ss:w@db:5432/outlay",
            "postgresql+asyncpg://outlay:[redacted]@db:5432/outlay",
        ),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        (f"a\\nb\\n{KEY[:9]}", "a\\nb\\nsk_[redacted]"),
        (f"glued{KEY}", "gluedsk_[redacted]"),
        ("the task_name stays", "the task_name stays"),
    ],
)
def test_secrets_are_taken_out_and_nothing_else(text: str, redacted: str) -> None:
    assert redact(text) == redacted


METHOD = "/outlay.v1.BudgetService/CheckSpend"


def test_an_ordinary_call_is_not_logged(log: Log) -> None:
    CallLog(1.0).call_finished(METHOD, grpc.StatusCode.OK, 0.5, "c-1")
    CallLog(1.0).call_finished(METHOD, grpc.StatusCode.CANCELLED, 0.5, "c-1")
    assert log.lines() == []


@pytest.mark.parametrize(
    ("code", "seconds", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, 0.5, ("warning", "call failed")),
        (grpc.StatusCode.INTERNAL, 0.5, ("error", "call failed")),
        (grpc.StatusCode.OK, 1.0, ("warning", "slow call")),
    ],
)
def test_a_call_that_failed_or_was_slow_is_one_line(
    log: Log, code: grpc.StatusCode, seconds: float, expected: tuple[str, str]
) -> None:
    CallLog(1.0).call_finished(METHOD, code, seconds, "c-1")
    (line,) = log.lines()
    assert (line["level"], line["event"]) == expected
    facts = {"method": METHOD, "code": code.name, "milliseconds": seconds * 1000, "correlation_id": "c-1"}
    assert facts.items() <= line.items()


def test_a_storm_of_failures_is_cut_and_counted(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0] * 1000 + [101.0])
    monkeypatch.setattr("outlay_server.server.call_log.time.monotonic", lambda: next(seconds))
    calls = CallLog(1.0)
    for _ in range(1001):
        calls.call_finished(METHOD, grpc.StatusCode.UNAVAILABLE, 0.1, "c")
    lines = log.lines()
    assert (len(lines), lines[-1]["lines_suppressed"]) == (LINES_PER_SECOND_MAX + 1, 1000 - LINES_PER_SECOND_MAX)
