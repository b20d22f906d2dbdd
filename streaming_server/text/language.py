"""The language of a sentence, as far as its script tells."""

from __future__ import annotations

from collections import Counter

import regex

from streaming_server.types import LanguageSpan

AUTO = "auto"
"""Language value that tells each sentence's language by its script."""

ENGLISH = "en"

_SCRIPTS: dict[str, tuple[str, ...]] = {
    "Cyrillic": ("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "tg", "tt", "ba", "cv", "mn", "nog"),
    "Arabic": ("ar", "fa", "ur", "sd", "ug", "ps", "ku"),
    "Han": ("zh", "ja", "yue", "cmn", "hak"),
    "Kana": ("ja",),
    "Hangul": ("ko",),
    "Hebrew": ("he", "yi"),
    "Greek": ("el", "grc"),
    "Devanagari": ("hi", "mr", "ne", "kok"),
    "Bengali": ("bn", "as", "bpy"),
    "Gurmukhi": ("pa",),
    "Gujarati": ("gu",),
    "Oriya": ("or",),
    "Tamil": ("ta",),
    "Telugu": ("te",),
    "Kannada": ("kn",),
    "Malayalam": ("ml",),
    "Sinhala": ("si",),
    "Thai": ("th",),
    "Lao": ("lo",),
    "Myanmar": ("my", "shn"),
    "Khmer": ("km",),
    "Georgian": ("ka",),
    "Armenian": ("hy", "hyw"),
    "Ethiopic": ("am", "ti"),
}
"""Languages by script; the first is assumed where nothing else tells."""

_LETTERS: tuple[tuple[str, str, str], ...] = (
    ("Cyrillic", "be", "ў"),
    ("Cyrillic", "uk", "ґєії"),
    ("Cyrillic", "sr", "ђјљњћџ"),
    ("Cyrillic", "kk", "әғқңұһ"),
    ("Arabic", "ur", "ٹڈڑںےھ"),
    ("Arabic", "fa", "پچژگ"),
)
"""Lower-case letters of one language that others in its script lack; the first row found counts."""

_WEIGHTS = {"Han": 1, "Kana": 0.5, "Thai": 0.25, "Lao": 0.25, "Myanmar": 0.25, "Khmer": 0.25}
"""Words that a character of a script without spaces stands for."""

_CLASSES = {
    script: r"\p{Hiragana}\p{Katakana}" if script == "Kana" else rf"\p{{Script={script}}}"
    for script in (*_SCRIPTS, "Latin")
}
_WORD = regex.compile(
    "|".join(
        rf"(?P<{script}>[{letters}])"
        if script in _WEIGHTS
        else rf"(?P<{script}>[{letters}][{letters}\p{{M}}'’-]*+)"
        for script, letters in _CLASSES.items()
    )
)

_LETTERS_OF = {
    script: rf"[{letters}]" for script, letters in _CLASSES.items() if script not in ("Latin", "Kana")
}
_LETTERS_OF["Han"] = rf"[\p{{Han}}{_CLASSES['Kana']}]"
_FOREIGN = regex.compile(
    "|".join(
        rf"(?P<{script}>{letter}[\p{{M}}ー]*+(?:[^\p{{L}}\p{{N}}]*+{letter}[\p{{M}}ー]*+)*+)"
        for script, letter in _LETTERS_OF.items()
    )
)
"""Words of one script, with what stands between them."""
_GREEK_WORD = regex.compile(r"[\p{Greek}\p{M}]{2}")
_KANA = regex.compile(rf"[{_CLASSES['Kana']}]")


def is_auto(language: str | None) -> bool:
    return language is not None and language.lower() == AUTO


def language_of(text: str, own: str) -> str:
    """The BCP 47 tag of a sentence's language. own: the voice's own language.

    The script with most words decides, the first one of those with as many. Text in the script of the voice's
    own language, in Latin letters or without letters is taken to be in that language.
    """
    if text.isascii():
        return own
    script = _script_of(text)
    languages = _SCRIPTS.get(script)
    if languages is None or own.lower().split("-")[0] in languages:
        return own
    return _by_letters(text.lower(), script) or languages[0]


def foreign_languages(word: str, own: str) -> tuple[str, ...]:
    """Return the languages in whose script a word is; none for Latin letters and for the script of `own`."""
    languages = () if word.isascii() else _SCRIPTS.get(_script_of(word), ())
    return () if own.lower().split("-")[0] in languages else languages


class LanguageDetector:
    """Tells the language of one sentence after the other. own: the voice's own language.

    Behind Japanese, a sentence of Han characters alone is Japanese too, as many headings are, unless it has
    some that Japanese does not use.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._japanese = False

    def language_of(self, text: str) -> str:
        language = language_of(text, self._own)
        self._japanese = self._japanese or language == "ja"
        return "ja" if language == "zh" and self._japanese and _is_shift_jis(text) else language


def _is_shift_jis(text: str) -> bool:
    try:
        text.encode("shift_jis")
    except UnicodeEncodeError:
        return False
    return True


def foreign_spans(text: str, own: str) -> tuple[LanguageSpan, ...]:
    """Return the parts of a text in `own` that are written in the script of another language.

    Neighbouring words of one script are one part. Latin letters are read in every language, and so is a
    single Greek letter, which is a symbol.
    """
    if text.isascii():
        return ()
    primary = own.lower().split("-")[0]
    spans: list[LanguageSpan] = []
    for match in _FOREIGN.finditer(text):
        script = next(name for name, part in match.groupdict().items() if part)
        if primary in _SCRIPTS[script] or (script == "Greek" and not _GREEK_WORD.search(match[0])):
            continue
        if script == "Han" and _KANA.search(match[0]):
            script = "Kana"
        language = _by_letters(match[0].lower(), script) or _SCRIPTS[script][0]
        spans.append(LanguageSpan(match.start(), match.end(), language))
    return tuple(spans)


def _script_of(text: str) -> str:
    counts = Counter(match.lastgroup or "" for match in _WORD.finditer(text))
    if counts["Kana"]:
        counts["Kana"] += counts.pop("Han", 0)
    return max(counts, key=lambda name: counts[name] * _WEIGHTS.get(name, 1), default="Latin")


def _by_letters(text: str, script: str) -> str | None:
    return next(
        (language for of, language, letters in _LETTERS if of == script and any(c in text for c in letters)),
        None,
    )
