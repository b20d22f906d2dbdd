"""IPA as the phonemes that the model was trained on.

They are those of misaki: IPA, with one letter for a diphthong or an affricate, no length in American English,
and the stress in front of the vowel rather than of the syllable.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from types import MappingProxyType

_BOTH = MappingProxyType(
    {
        "t͡ʃ": "ʧ",
        "tʃ": "ʧ",
        "d͡ʒ": "ʤ",
        "dʒ": "ʤ",
        "t͡s": "ts",
        "d͡z": "dz",
        "eɪ": "A",
        "ei": "A",
        "aɪ": "I",
        "ai": "I",
        "aʊ": "W",
        "au": "W",
        "ɔɪ": "Y",
        "ɔi": "Y",
        "oi": "Y",
        "ɑ̃": "ɑn",
        "ɔ̃": "ɔn",
        "ɛ̃": "æn",
        "œ̃": "ʌn",
        "ã": "ɑn",
        "õ": "ɔn",
        "ẽ": "ɛn",
        "n̩": "ən",
        "m̩": "əm",
        "l̩": "əl",
        "ɫ̩": "əl",
        "ŋ̍": "əŋ",
        "ɹ̩": "əɹ",
        "r̩": "əɹ",
        "r": "ɹ",
        "g": "ɡ",
        "ʁ": "ɹ",
        "ʀ": "ɹ",
        "ɻ": "ɹ",
        "ɽ": "ɾ",
        "ɫ": "l",
        "ɭ": "l",
        "ʎ": "lj",
        "ɬ": "l",
        "x": "k",
        "χ": "k",
        "ç": "h",
        "ħ": "h",
        "ɦ": "h",
        "ʍ": "w",
        "ɥ": "w",
        "ɰ": "w",
        "ʋ": "v",
        "β": "v",
        "ɣ": "ɡ",
        "ɸ": "f",
        "ɱ": "m",
        "ɲ": "nj",
        "ɳ": "n",
        "ɴ": "ŋ",
        "ʈ": "t",
        "ɖ": "d",
        "c": "k",
        "q": "k",
        "ɟ": "ɡ",
        "ɕ": "ʃ",
        "ʂ": "ʃ",
        "ʑ": "ʒ",
        "ʐ": "ʒ",
        "ʕ": "",
        "ʦ": "ts",
        "ʣ": "dz",
        "y": "u",
        "ʏ": "ʊ",
        "ø": "ɜ",
        "œ": "ɜ",
        "ɵ": "ə",
        "ɘ": "ə",
        "ɞ": "ɜ",
        "ʉ": "u",
        "ɨ": "ɪ",
        "ɯ": "u",
        "ɤ": "ʌ",
        "ɶ": "ɑ",
        "ɐ": "ə",
    }
)
_AMERICAN = MappingProxyType(
    {
        "oʊ": "O",
        "əʊ": "O",
        "ou": "O",
        "o": "O",
        "ɚ": "əɹ",
        "ɝ": "ɜɹ",
        "ɜːɹ": "ɜɹ",
        "ɜːr": "ɜɹ",
        "ɜː": "ɜɹ",
        "ɾ": "T",
        "ɒ": "ɑ",
        "a": "ɑ",
        "ɪə": "iə",
        "eə": "ɛə",
        "e": "ɛ",
    }
)
_BRITISH = MappingProxyType(
    {
        "oʊ": "Q",
        "əʊ": "Q",
        "ou": "Q",
        "o": "Q",
        "ɚ": "ə",
        "ɝ": "ɜː",
        "ɾ": "t",
        "æ": "a",
        "eə": "ɛː",
        "e": "ɛ",
    }
)
_STRESS = re.compile("([ˈˌ])([^AIOQWYaiuæɑɒɔəɛɜɪʊʌᵊᵻˈˌ ]*)(?=[AIOQWYaiuæɑɒɔəɛɜɪʊʌᵊᵻ])")
_LENGTHS = re.compile("[ːˑ]")
_LONG_VOWEL = re.compile("(?<![ɑɔiuɜɛ])ː|ˑ")
_NOT_PHONEMES = re.compile(r"[\[\]/.|‿ʰʲʷˠˤ͜͡()-]")


def to_phonemes(ipa: str, vocabulary: Collection[str], *, british: bool) -> str | None:
    """Return the phonemes, or None for IPA with a sound that has none."""
    text = unicodedata.normalize("NFC", ipa.strip()).replace("'", "ˈ").replace(":", "ː").replace("ˌˈ", "ˈ")
    table = {**_BOTH, **(_BRITISH if british else _AMERICAN)}
    letters = re.compile("|".join(sorted(map(re.escape, table), key=len, reverse=True)))
    text = letters.sub(lambda match: table[match[0]], text)
    text = _NOT_PHONEMES.sub("", text)
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    text = (_LONG_VOWEL if british else _LENGTHS).sub("", text)
    text = _STRESS.sub(lambda match: match[2] + match[1], text)
    words = " ".join(text.split())
    return words if words and all(letter in vocabulary for letter in words) else None
