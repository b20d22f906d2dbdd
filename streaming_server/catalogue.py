"""The voices a client may ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from streaming_server.errors import UnknownVoice
from streaming_server.types import BUILTIN_VOICES, Generation, Voice

_NAMED = 12
"""How many voices a refusal names."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A voice, and how it speaks unless a client says otherwise."""

    voice: Voice
    defaults: Generation = field(default_factory=Generation)


class Catalogue:
    """Every voice by its id. `aliases` are other names for some, which no voice of that id hides.

    What `replace` brings counts from the next context on.
    """

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        self._aliases = dict(aliases or {})
        self._entries: dict[str, Entry] = {}
        self.replace(Entry(voice) for voice in BUILTIN_VOICES)

    @property
    def voices(self) -> list[Voice]:
        return [entry.voice for entry in self._entries.values()]

    def replace(self, entries: Iterable[Entry]) -> None:
        """From now on there are these voices and no others."""
        self._entries = {entry.voice.id: entry for entry in entries}

    def find(self, name: str) -> Entry:
        """The voice of an id or alias. Raises UnknownVoice."""
        entry = self._entries.get(name) or self._entries.get(self._aliases.get(name, ""))
        if entry is None:
            raise UnknownVoice(f"no voice has this id; there are {self._some()}.", field="voice")
        return entry

    def _some(self) -> str:
        ids = list(self._entries)
        return ", ".join(ids[:_NAMED]) + (" and others, listed at /voices" if len(ids) > _NAMED else "")
