"""Voices are found by id or alias."""

from __future__ import annotations

import pytest

from streaming_server.errors import UnknownVoice
from streaming_server.types import BUILTIN_VOICES, Generation, Voice
from streaming_server.voices.catalogue import Catalogue, CatalogueEntry

MINE = CatalogueEntry(Voice("mine", "Mine", "neutral"), Generation(speed=1.5))


def test_starts_with_the_builtin_voices() -> None:
    catalogue = Catalogue()
    assert catalogue.voices == list(BUILTIN_VOICES)
    assert catalogue.find("zara") == CatalogueEntry(BUILTIN_VOICES[4])


def test_replace_removes_all_other_voices() -> None:
    catalogue = Catalogue()
    catalogue.replace([MINE])
    assert catalogue.voices == [MINE.voice]
    assert catalogue.find("mine").defaults.speed == 1.5
    with pytest.raises(UnknownVoice):
        catalogue.find("aria")


def test_the_last_voice_with_an_id_wins() -> None:
    catalogue = Catalogue()
    again = CatalogueEntry(Voice("mine", "Again", "neutral"))
    catalogue.replace([MINE, again])
    assert catalogue.voices == [again.voice]


def test_a_voice_takes_precedence_over_an_alias() -> None:
    catalogue = Catalogue({"alloy": "aria", "nova": "aria"})
    assert catalogue.find("alloy").voice.id == "aria"
    assert catalogue.find("nova").voice.id == "nova"
    catalogue.replace([CatalogueEntry(Voice("alloy", "Mine", "neutral"))])
    assert catalogue.find("alloy").voice.name == "Mine"


def test_an_alias_works_only_while_its_voice_exists() -> None:
    catalogue = Catalogue({"alloy": "mine"})
    with pytest.raises(UnknownVoice):
        catalogue.find("alloy")
    catalogue.replace([MINE])
    assert catalogue.find("alloy") is MINE
    catalogue.replace([])
    with pytest.raises(UnknownVoice):
        catalogue.find("alloy")


@pytest.mark.parametrize("name", ["", " ", "nobody", "ar ia", "\0"])
def test_unknown_names_are_rejected(name: str) -> None:
    with pytest.raises(UnknownVoice):
        Catalogue({"alloy": "aria"}).find(name)


@pytest.mark.parametrize("name", ["ARIA", " aria", "Aria\n", "Alloy", "ALLOY "])
def test_names_match_regardless_of_case_and_spaces(name: str) -> None:
    assert Catalogue({"alloy": "aria"}).find(name).voice.id == "aria"
    assert Catalogue({"ALLOY": "Aria"}).find(name).voice.id == "aria"


def test_an_exact_match_precedes_ids_that_differ_in_case() -> None:
    catalogue = Catalogue({"MINE": "aria"})
    catalogue.replace(
        [MINE, CatalogueEntry(Voice("Mine", "Other", "neutral")), *map(CatalogueEntry, BUILTIN_VOICES)]
    )
    assert catalogue.find("mine").voice.name == "Mine"
    assert catalogue.find("Mine").voice.name == "Other"
    assert catalogue.find("MINE").voice.id in ("mine", "Mine")


def test_the_default_voice_replaces_unknown_names_where_allowed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    catalogue = Catalogue({"alloy": "zara"}, substitutes=True)
    assert catalogue.choose("alloy").voice.id == "zara"
    assert "unknown voice" not in capsys.readouterr().out
    assert catalogue.choose("21m00Tcm4TlvDq8ikWAM").voice.id == "aria"
    assert "unknown voice" in capsys.readouterr().out
    assert not catalogue.knows("21m00Tcm4TlvDq8ikWAM")
    with pytest.raises(UnknownVoice):
        catalogue.find("21m00Tcm4TlvDq8ikWAM")
    catalogue.replace([MINE])
    with pytest.raises(UnknownVoice, match="there are mine"):
        catalogue.choose("nobody")


def test_a_door_may_substitute_the_default_voice_by_itself() -> None:
    assert Catalogue().choose("a/recording.wav", substitute=True).voice.id == "aria"
    with pytest.raises(UnknownVoice, match=r"^model: must be the id of a voice"):
        Catalogue().choose("nobody", field="model")


def test_an_error_lists_the_aliases_of_known_voices() -> None:
    catalogue = Catalogue({"alloy": "aria", "nova": "zara", "later": "not-made-yet"})
    with pytest.raises(UnknownVoice, match=r"zara, nova; aliases are alloy\.$"):
        catalogue.find("nobody")


def test_aliases_are_copied() -> None:
    aliases = {"alloy": "aria"}
    catalogue = Catalogue(aliases)
    aliases["alloy"] = "zara"
    assert catalogue.find("alloy").voice.id == "aria"


def test_an_error_lists_some_of_the_voices() -> None:
    catalogue = Catalogue()
    with pytest.raises(UnknownVoice, match=r"there are aria, atlas, luna, kai, zara, nova\.$"):
        catalogue.find("nobody")
    catalogue.replace(CatalogueEntry(Voice(f"voice-{number}", "Mine", "neutral")) for number in range(1000))
    with pytest.raises(UnknownVoice, match=r"and others, listed at /voices\.$") as refused:
        catalogue.find("nobody")
    assert len(refused.value.message) < 300
