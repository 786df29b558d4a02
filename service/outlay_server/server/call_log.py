"""What the log says about calls: those that failed, and those that were slow. Ordinary ones only at debug."""

import logging
import time
from dataclasses import dataclass
from typing import Final

import grpc

logger = logging.getLogger("outlay.calls")

LINES_PER_SECOND_MAX: Final = 20
"""Of one code. A storm of refusals must not cost more than the calls themselves; the rest is counted and said."""


@dataclass(slots=True)
class _Quota:
    second: int = 0
    written: int = 0
    suppressed: int = 0


class CallLog:
    """An observer of calls that writes a line for each that needs attention."""

    def __init__(self, slow_call_seconds: float) -> None:
        self._slow_call_seconds = slow_call_seconds
        self._quotas: dict[grpc.StatusCode, _Quota] = {}
        self._everything = logger.isEnabledFor(logging.DEBUG)

    def call_finished(self, method: str, code: grpc.StatusCode, seconds: float, correlation_id: str) -> None:
        slow = seconds >= self._slow_call_seconds
        if code is grpc.StatusCode.OK or code is grpc.StatusCode.CANCELLED:
            if slow:
                self._write(logging.WARNING, "slow call", method, code, seconds, correlation_id)
            elif self._everything:
                self._write(logging.DEBUG, "call", method, code, seconds, correlation_id)
        else:
            level = logging.ERROR if code is grpc.StatusCode.INTERNAL else logging.WARNING
            self._write(level, "call failed", method, code, seconds, correlation_id)

    def _write(
        self, level: int, event: str, method: str, code: grpc.StatusCode, seconds: float, correlation_id: str
    ) -> None:
        quota = self._quotas.setdefault(code, _Quota())
        second = int(time.monotonic())
        if second != quota.second:
            quota.second, quota.written = second, 0
        if quota.written >= LINES_PER_SECOND_MAX and level > logging.DEBUG:
            quota.suppressed += 1
            return
        quota.written += 1
        facts = {
            "method": method[:128],
            "code": code.name,
            "milliseconds": round(seconds * 1_000, 1),
            "correlation_id": correlation_id,
        }
        if quota.suppressed:
            facts["lines_suppressed"], quota.suppressed = quota.suppressed, 0
        logger.log(level, event, extra=facts)
