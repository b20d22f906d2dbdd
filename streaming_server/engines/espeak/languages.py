"""The languages eSpeak NG speaks, by BCP 47 tag."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_LANGUAGE = "en-US"


class Languages:
    """Maps language tags to the library's voices.

    voices: the library's name of a voice by lower-case tag.
    """

    def __init__(self, voices: Mapping[str, str]) -> None:
        self._voices = voices

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags, in customary case and order."""
        return tuple(sorted(map(customary_case, self._voices)))

    def voice_of(self, language: str | None) -> str | None:
        """Return the library's voice for a tag, or for the tag it specializes; None if there is none.

        `de-AT` falls back to `de`. Plain `en`, like no language at all, is the default language.
        """
        tag = (language or DEFAULT_LANGUAGE).lower().replace("_", "-")
        if tag == DEFAULT_LANGUAGE.partition("-")[0]:
            tag = DEFAULT_LANGUAGE.lower()
        while tag and tag not in self._voices:
            tag = tag.rpartition("-")[0]
        return self._voices.get(tag)


def customary_case(tag: str) -> str:
    """Return a lower-case tag in customary case: `zh-hant-tw` is `zh-Hant-TW`."""
    first, *rest = tag.split("-")
    parts = [first]
    private = False
    for part in rest:
        private = private or len(part) == 1
        if not private and len(part) == 2:
            parts.append(part.upper())
        elif not private and len(part) == 4 and part.isalpha():
            parts.append(part.title())
        else:
            parts.append(part)
    return "-".join(parts)
