"""Logging: structlog over the standard library; readable on a terminal, JSON otherwise.

Logs contain ids, lengths and times. They contain text only where the operator asked for it, and never keys.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import structlog
from structlog.typing import EventDict, Processor

from streaming_server.log_writer import LogWriter, standard_error
from streaming_server.settings import Settings


@contextmanager
def configured(settings: Settings) -> Iterator[None]:
    """Configure the logging of this process. On exit, wait a moment for the last records to be written."""
    shared: list[Processor] = [
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
    stream = standard_error()
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    writer = LogWriter(_terminal_handler() if as_text else logging.StreamHandler(stream))
    writer.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_terminal_renderers() if as_text else _json_renderers(settings.node)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [writer]
    root.setLevel(("debug" if settings.debug else settings.log_level).upper())
    logging.captureWarnings(True)
    # uvicorn logs whole query strings, keys included, when it accepts a websocket.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        yield
    finally:
        writer.close()


def _terminal_handler() -> logging.Handler:
    from rich.console import Console
    from rich.logging import RichHandler

    return RichHandler(
        console=Console(file=standard_error()),
        show_path=False,
        omit_repeated_times=False,
        log_time_format="%H:%M:%S",
    )


def _terminal_renderers() -> list[Processor]:
    return [
        _without("level", "logger", "timestamp"),
        structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0),
    ]


def _json_renderers(node: str) -> list[Processor]:
    def name_node(logger: object, method: str, event: EventDict) -> EventDict:
        return {**event, "node": node}

    return [
        name_node,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(lambda event, **_: orjson.dumps(event, default=repr).decode()),
    ]


def _without(*names: str) -> Processor:
    """Return a processor that removes these keys."""

    def drop(logger: object, method: str, event: EventDict) -> EventDict:
        return {key: value for key, value in event.items() if key not in names}

    return drop
