"""The log, as hclog's JSON lines on standard error: Terraform sorts them by level into its own."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

_LEVELS: Final = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warn",
    logging.ERROR: "error",
    logging.CRITICAL: "error",
}


class HclogFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        return json.dumps(
            {
                "@level": _LEVELS.get(record.levelno, "trace"),
                "@message": message,
                "@module": record.name,
                "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            }
        )


def set_up() -> None:
    """Log to standard error. Which levels are shown is Terraform's business (TF_LOG)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HclogFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("outlay").setLevel(logging.DEBUG)
