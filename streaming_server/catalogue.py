"""The voices that clients can use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from streaming_server.errors import UnknownVoice
from streaming_server.text.language import is_auto
from streaming_server.types import BUILTIN_VOICES, Generation, Voice

_NAMED = 12
"""The number of voices that an error message lists."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A voice and its default options."""

    voice: Voice
    defaults: Generation = field(default_factory=Generation)

    @property
    def language(self) -> str | None:
        """The voice's own language; None if nobody has chosen one."""
        return None if is_auto(self.defaults.language) else self.defaults.language


class Catalogue:
    """The voices by id.

    aliases: other names of voices. A voice whose id equals an alias takes precedence.
    """

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        self._aliases = dict(aliases or {})
        self._entries: dict[str, Entry] = {}
        self.replace(Entry(voice) for voice in BUILTIN_VOICES)

    @property
    def voices(self) -> list[Voice]:
        return [entry.voice for entry in self._entries.values()]

    def replace(self, entries: Iterable[Entry]) -> None:
        """Replace all voices. Open contexts keep theirs."""
        self._entries = {entry.voice.id: entry for entry in entries}

    def find(self, name: str) -> Entry:
        """Return the voice with an id or alias. Raises UnknownVoice."""
        entry = self._entries.get(name) or self._entries.get(self._aliases.get(name, ""))
        if entry is None:
            raise UnknownVoice(f"no voice has this id; there are {self._some()}.", field="voice")
        return entry

    def _some(self) -> str:
        ids = list(self._entries)
        return ", ".join(ids[:_NAMED]) + (" and others, listed at /voices" if len(ids) > _NAMED else "")
