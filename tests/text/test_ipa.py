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
        ("hEloU", "is not written in IPA: it has no 'E' (U+0045)."),
        ("he!", "is not written in IPA: it has no '!' (U+0021)."),
        ("нет", "is not written in IPA: it has no 'н' (U+043D)."),
        ("тест", "is not written in IPA: it has no 'т' (U+0442)."),
        ("h3l0", "is not written in IPA: it has no '3' (U+0033)."),
        ("ˈˌː", "must have a letter of the IPA in it."),
        (" ", "must have a letter of the IPA in it."),
    ],
)
def test_names_what_is_not_ipa(ipa: str, problem: str) -> None:
    assert ipa_problem(ipa) == problem
