"""The routes of the pronunciation list."""

from __future__ import annotations

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import BadValue, StorageFailure
from streaming_server.storage.pronunciations import StoredPronunciation
from streaming_server.text.ipa import ipa_problem
from streaming_server.text.language import is_auto
from streaming_server.text.pronunciations import (
    LONGEST_SPELLING,
    LONGEST_WORD,
    Pronunciation,
    pronunciation_problem,
)
from streaming_server.types import EngineInfo
from streaming_server.voices.language import check_language
from streaming_server.voices.pronunciations import PronunciationList
from streaming_server.web.keyed import admin_keyed, keyed
from streaming_server.web.openapi.operation import BODY_ERRORS, operation
from streaming_server.web.requests import read_json
from streaming_server.web.responses import Json
from streaming_server.web.services import operations, speech_services
from streaming_server.web.speech_fields import LanguageField

MOST_WORDS = 5000
IPA_NOT_READ = "The running engine reads no IPA: these words are read as they are written; add a respelling."

SAID: list[JsonValue] = [
    {"required": [name], "properties": {name: {"type": "string"}}} for name in ("respelling", "ipa")
]
"""JSON Schema for: one of the two is given."""


class PronunciationEntry(LanguageField):
    """A word and how to say it: a respelling, IPA, or both. Without a language it counts for every one.

    A word may be several, such as "New York", and hold dots, apostrophes, hyphens, slashes, +, # and &.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"allOf": [{"anyOf": SAID}]})

    word: str = Field(min_length=1, max_length=LONGEST_WORD)
    respelling: str | None = Field(None, min_length=1, max_length=LONGEST_SPELLING)
    ipa: str | None = Field(None, min_length=1, max_length=LONGEST_SPELLING)

    def problem(self) -> tuple[str, str] | None:
        """Return the field at fault and what is wrong with it; None if there is nothing."""
        if is_auto(self.language):
            return "language", "must be a language tag, or left out."
        if self.ipa is not None and (problem := ipa_problem(self.ipa)) is not None:
            return "ipa", problem
        return pronunciation_problem(self.word, Pronunciation(self.respelling, self.ipa))

    @property
    def stored(self) -> StoredPronunciation:
        return StoredPronunciation(self.language or "", self.word, self.respelling, self.ipa)


class WordList(BaseModel):
    """The whole list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pronunciations: list[PronunciationEntry] = Field(max_length=MOST_WORDS)


class ListedWord(TypedDict):
    """language: null for every language."""

    word: str
    language: str | None
    respelling: str | None
    ipa: str | None


class ListedWords(TypedDict):
    pronunciations: list[ListedWord]
    warnings: list[str]


def routes() -> list[BaseRoute]:
    return [
        Route("/pronunciations", keyed(get_pronunciations), methods=["GET"]),
        Route("/pronunciations", admin_keyed(put_pronunciations), methods=["PUT"]),
    ]


@operation("voices", "List the words with a pronunciation of their own")
async def get_pronunciations(request: Request) -> Json[ListedWords]:
    return Json(_listed(operations(request).pronunciations, reads_ipa=_reads_ipa(request)))


@operation(
    "voices",
    "Replace the list of pronunciations; it counts from the next sentence on",
    body=WordList,
    errors=(*BODY_ERRORS, StorageFailure),
)
async def put_pronunciations(request: Request) -> Json[ListedWords]:
    wanted = await read_json(request, WordList, most_values=6 * MOST_WORDS)
    entries = _checked(wanted, speech_services(request).pool.info)
    words = operations(request).pronunciations
    await to_thread.run_sync(words.put, entries)
    return Json(_listed(words, reads_ipa=_reads_ipa(request)))


def _checked(wanted: WordList, engine: EngineInfo | None) -> list[StoredPronunciation]:
    """Return the entries to store. Raise BadValue, with the place of the first wrong one in its field.

    engine: the running one, as far as it is known yet; words of a language that it does not speak are wrong.
    """
    for number, entry in enumerate(wanted.pronunciations):
        place = f"pronunciations.{number}"
        if (problem := entry.problem()) is not None:
            field, message = problem
            raise BadValue(message, field=f"{place}.{field}")
        if engine is not None:
            check_language(entry.language, engine, f"{place}.language")
    return [entry.stored for entry in wanted.pronunciations]


def _reads_ipa(request: Request) -> bool:
    info = speech_services(request).pool.info
    return info is not None and info.ipa


def _listed(words: PronunciationList, *, reads_ipa: bool) -> ListedWords:
    entries = words.entries
    listed: list[ListedWord] = [
        {
            "word": entry.word,
            "language": entry.language or None,
            "respelling": entry.respelling,
            "ipa": entry.ipa,
        }
        for entry in entries
    ]
    only_ipa = [entry.word for entry in entries if entry.respelling is None and not reads_ipa]
    warnings = [f"{IPA_NOT_READ} They are: {', '.join(only_ipa)}."] if only_ipa else []
    return {"pronunciations": listed, "warnings": warnings}
