"""The check of IPA."""

from __future__ import annotations

import pytest

from streaming_server.text.ipa import ipa_problem


@pytest.mark.parametrize(
    "ipa",
    [
        "ˈneɪʃən",
        "'neɪʃən",
        "/təˈmɑːtoʊ/",
        "[t͡ʃɛɹɪ ɹɛd]",
        "ɡʁɑ̃.ʃɔ̃",
        "ˈkaɪ̯zɐ",
        "mɔɹˈdəː|ʃ(ə)n",
        "fɑ:",
        "pʰuː˥˩",
        "ǃʼo ǁʰa",
        "ʧiz ʤʌʤ",
        "français"[:4],
        "oʊ\u0301",
    ],
)
def test_accepts_ipa(ipa: str) -> None:
    assert ipa_problem(ipa) is None


@pytest.mark.parametrize(
    ("ipa", "problem"),
    [
        ("hEloU", "contains 'E' (U+0045), which is not an IPA character."),
        ("he!", "contains '!' (U+0021), which is not an IPA character."),
        ("нет", "contains 'н' (U+043D), which is not an IPA character."),
        ("тест", "contains 'т' (U+0442), which is not an IPA character."),
        ("h3l0", "contains '3' (U+0033), which is not an IPA character."),
        ("ˈˌː", "must contain an IPA letter."),
        (" ", "must contain an IPA letter."),
    ],
)
def test_names_what_is_not_ipa(ipa: str, problem: str) -> None:
    assert ipa_problem(ipa) == problem
