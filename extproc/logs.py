"""Log lines as JSON, one object a line: the event and its fields. They never hold a prompt, a response or a header."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

from extproc.codecs.json_values import encode_json


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "part": record.name,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return encode_json(line).decode()


def configure(level: str) -> None:
    """Sends every log line to stdout, which the supervisor writes to the service's log file."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
