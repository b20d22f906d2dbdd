"""Logs: structlog over the standard library, readable on a terminal, JSON otherwise.

They hold ids, lengths and times; text only where the operator asked for it, keys never.
"""

from __future__ import annotations

import logging
import sys

import orjson
import structlog

from streaming_server.settings import Settings


def configure(settings: Settings) -> None:
    """Set up the process's logging."""
    level = "debug" if settings.debug else settings.log_level
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_terminal(shared) if as_text else _json(shared)]
    root.setLevel(level.upper())
    # uvicorn writes whole query strings, keys included, when it accepts a websocket.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def _terminal(shared: list[structlog.typing.Processor]) -> logging.Handler:
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(
        console=Console(stderr=True), show_path=False, omit_repeated_times=False, log_time_format="%H:%M:%S"
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without("level", "logger", "timestamp"),
                structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0),
            ],
        )
    )
    return handler


def _json(shared: list[structlog.typing.Processor]) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(
                    lambda event, **_: orjson.dumps(event, default=repr).decode()
                ),
            ],
        )
    )
    return handler


def _without(*names: str) -> structlog.typing.Processor:
    def drop(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {key: value for key, value in event.items() if key not in names}

    return drop
