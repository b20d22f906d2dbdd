"""The voices that clients can use."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from streaming_server.errors import UnknownVoice
from streaming_server.text.language import is_auto
from streaming_server.types import BUILTIN_VOICES, DEFAULT_VOICE, Generation, Voice

_LISTED = 12
"""The number of voices, and of aliases, that an error message lists."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A voice and its default options. of_engine: one of the engine's own beside the six built-in ones."""

    voice: Voice
    defaults: Generation = field(default_factory=Generation)
    of_engine: bool = False

    @property
    def language(self) -> str | None:
        """The voice's own language; None if none is set."""
        return None if is_auto(self.defaults.language) else self.defaults.language


class Catalogue:
    """The voices by id. Ids and aliases match regardless of case and surrounding spaces.

    aliases: other names of voices. An id takes precedence over an equal alias; among ids that differ only in
    case, an exact match does. substitutes: whether the default voice is used for unknown names.
    """

    def __init__(self, aliases: Mapping[str, str] | None = None, *, substitutes: bool = False) -> None:
        self._aliases = {_folded(alias): voice for alias, voice in (aliases or {}).items()}
        self._substitutes = substitutes
        self._entries: dict[str, CatalogueEntry] = {}
        self._folded: dict[str, CatalogueEntry] = {}
        self.replace(CatalogueEntry(voice) for voice in BUILTIN_VOICES)

    @property
    def entries(self) -> list[CatalogueEntry]:
        return list(self._entries.values())

    @property
    def voices(self) -> list[Voice]:
        return [entry.voice for entry in self._entries.values()]

    def public(self, aliases: Container[str]) -> Catalogue:
        """Return a catalogue without the operator's own voices, for clients without a key.

        aliases: the aliases to keep, in lower case.
        """
        known = {alias: voice for alias, voice in self._aliases.items() if alias in aliases}
        public = Catalogue(known, substitutes=self._substitutes)
        builtin = {voice.id for voice in BUILTIN_VOICES}
        public.replace(entry for entry in self.entries if entry.of_engine or entry.voice.id in builtin)
        return public

    def replace(self, entries: Iterable[CatalogueEntry]) -> None:
        """Replace all voices. Open contexts keep theirs."""
        self._entries = {entry.voice.id: entry for entry in entries}
        self._folded = {_folded(voice_id): entry for voice_id, entry in self._entries.items()}

    def find(self, name: str) -> CatalogueEntry:
        """Return the voice with an id or alias. Raise UnknownVoice."""
        if (entry := self._found(name)) is None:
            raise self._unknown("voice")
        return entry

    def alias_first(self, name: str) -> str:
        """Resolve an alias even if one of the engine's own voices has that name.

        `fable` is an alias for OpenAI's clients, and a voice of hibari that has to be fetched; these clients
        get the alias. Other names are returned unchanged.
        """
        entry = self._found(name)
        aliased = self._voice_of_alias(_folded(name)) if entry is not None and entry.of_engine else None
        return aliased.voice.id if aliased is not None else name

    def knows(self, name: str) -> bool:
        """Return whether a voice has this id or alias."""
        return self._found(name) is not None

    def choose(self, name: str, *, substitute: bool = False, field: str = "voice") -> CatalogueEntry:
        """Return the voice for a name. Where substitution is on, an unknown name gets the default voice and a
        warning in the log.

        substitute: substitute for this name even if the setting is off. field: the field that holds the name.
        Raise UnknownVoice.
        """
        if (entry := self._found(name)) is not None:
            return entry
        default = self._entries.get(DEFAULT_VOICE.id)
        if default is None or not (substitute or self._substitutes):
            raise self._unknown(field)
        log.warning("unknown voice", voice=name, spoken_by=default.voice.id)
        return default

    def _unknown(self, field: str) -> UnknownVoice:
        return UnknownVoice(f"must be the id of a voice; there are {self._known()}.", field=field)

    def _found(self, name: str) -> CatalogueEntry | None:
        if (entry := self._entries.get(name)) is not None:
            return entry
        folded = _folded(name)
        return self._folded.get(folded) or self._voice_of_alias(folded)

    def _voice_of_alias(self, alias: str) -> CatalogueEntry | None:
        voice = self._aliases.get(alias, "")
        return self._entries.get(voice) or self._folded.get(_folded(voice))

    def _known(self) -> str:
        aliases = [name for name in self._aliases if name not in self._folded and self._voice_of_alias(name)]
        ids = _listed(list(self._entries), " and others, listed at /voices")
        return f"{ids}; aliases are {_listed(aliases, ' and others')}" if aliases else ids


def _listed(names: list[str], rest: str) -> str:
    return ", ".join(names[:_LISTED]) + (rest if len(names) > _LISTED else "")


def _folded(name: str) -> str:
    return name.strip().casefold()
