"""Logs: one JSON object a line on standard error, from structlog and from the standard library alike."""

import logging
import sys
from typing import Any, Final, TextIO

import structlog

from outlay_server.server.redaction import redact

_CHATTY: Final = {
    # Each of these tells at info what it is doing rather than what has happened.
    "alembic": logging.WARNING,
    "aiosqlite": logging.INFO,
    "asyncio": logging.INFO,
    "grpc": logging.WARNING,
    "httpx2": logging.WARNING,
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.CRITICAL,
}


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Secrets are taken out of the finished line: no field, message or traceback goes past it."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def configure_logs(level: str, *, stream: TextIO | None = None) -> None:
    """Route every log of the process to `stream` (standard error), and what nobody catches as well.

    Lines have `timestamp` (UTC), `level`, `logger`, `event`, what the caller added, and `exception` with a traceback.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        _RedactingFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("outlay").critical("uncaught exception", exc_info=(kind, error, trace))
