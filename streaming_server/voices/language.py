"""The language that a voice speaks with an engine."""

from __future__ import annotations

from streaming_server.errors import BadValue
from streaming_server.text.language import ENGLISH, is_auto
from streaming_server.types import EngineInfo, Generation
from streaming_server.voices.catalogue import CatalogueEntry


def check_language(language: str | None, engine: EngineInfo, field: str = "language") -> None:
    """Raise BadValue for a language that the engine does not speak. field: where the client wrote it.

    None and `auto` are no language, and an engine that does not use the language speaks any.
    """
    if language is None or is_auto(language) or "language" not in engine.uses:
        return
    if not engine.speaks(language):
        raise BadValue("the running engine does not speak it.", field=field)


def language_of(entry: CatalogueEntry, asked: Generation, engine: EngineInfo) -> str:
    """Return the language of text in Latin letters."""
    if asked.language is None or is_auto(asked.language):
        return own_language(entry, engine)
    return asked.language


def own_language(entry: CatalogueEntry, engine: EngineInfo) -> str:
    """Return the language in which a voice speaks unless it is asked for another."""
    usual = ENGLISH if engine.speaks(ENGLISH) or not engine.languages else engine.languages[0]
    return entry.language or usual
