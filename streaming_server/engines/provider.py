"""The provider that an engine's package registers: describes, configures and starts the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streaming_server.engines.base import Engine
from streaming_server.types import EngineVoice


def option(default: Any, description: str, **constraints: Any) -> Any:
    """Return a field of an engine's settings.

    The field `slots` is the flag `--slots` and the variable `DIA_SLOTS`. constraints: `ge`, `gt`, `le`, `lt`,
    `min_length`, `max_length`, as for `pydantic.Field`.
    """
    return field(default=default, metadata={"description": description, **constraints})


@dataclass(frozen=True)
class NoSettings:
    """The settings of an engine that has none."""


def _no_voices(settings: Any) -> tuple[EngineVoice, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class EngineProvider:
    """An engine as the server knows it.

    The server process imports the provider's module; `create` is called in the worker process only. Heavy
    libraries are therefore imported inside `create`, never at the top of the provider's module.

    create: returns the engine for an instance of `settings`. Raises EngineFailure, whose message the operator
        reads.
    settings: a dataclass with a default for every field, made with `option`. Fields are str, int, float,
        bool, a Literal of these, or one of these or None. `__post_init__` may raise ValueError.
    cpu_workers: worker processes on a machine without a GPU, at most one per core.
    uses_gpus: whether each worker gets a GPU where there is one.
    start_timeout_s: seconds from the start of a worker to its first audio.
    author, url: credits, shown to clients that ask for them.
    warning: logged when the server starts with this engine, if there is one.
    voices: returns the engine's voices beside the built-in ones, for an instance of `settings`. The server
        fetches their files; the engine finds them at their paths.
    """

    name: str
    description: str
    create: Callable[[Any], Engine]
    settings: type[Any] = NoSettings
    cpu_workers: int = 1
    uses_gpus: bool = False
    start_timeout_s: float = 60.0
    author: str = ""
    url: str = ""
    warning: str = ""
    voices: Callable[[Any], tuple[EngineVoice, ...]] = _no_voices
