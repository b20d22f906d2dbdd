"""Voices in the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.databases import Place
from helpers.voice_store import blob, files, opened, put

from streaming_server.errors import (
    BadValue,
    Forbidden,
    UnknownVoice,
    UnknownVoiceSample,
)
from streaming_server.storage.voice_records import StoredVoice
from streaming_server.storage.voices import VoiceStore
from streaming_server.types import BUILTIN_VOICES


def test_built_in_voices_always_exist(store: VoiceStore) -> None:
    assert [(voice.id, voice.name, voice.style, voice.primary_speaker) for voice in store.voices()] == [
        (voice.id, voice.name, voice.style, voice.primary_speaker) for voice in BUILTIN_VOICES
    ]
    assert all(voice.builtin and voice.voice_sample is None for voice in store.voices())
    assert store.voice("luna") == StoredVoice("luna", "Luna", "expressive", "S2", builtin=True)


@pytest.mark.parametrize("voice_id", [voice.id for voice in BUILTIN_VOICES])
def test_a_built_in_voice_can_be_shadowed_and_restored(store: VoiceStore, voice_id: str) -> None:
    before = store.voices()
    with pytest.raises(Forbidden):
        store.delete_voice(voice_id)
    shadow = store.put_voice(StoredVoice(voice_id, "Somebody else", "warm", "S2"))
    assert store.voice(voice_id) == shadow
    assert not shadow.builtin
    assert [voice.id for voice in store.voices()] == [voice.id for voice in before]
    store.delete_voice(voice_id)
    assert store.voices() == before
    with pytest.raises(Forbidden):
        store.delete_voice(voice_id)


def test_a_voice_is_stored_with_all_fields(place: Place) -> None:
    voice = StoredVoice(
        id="Чтец 2",
        name="Ann-Marie",
        style="warm, friendly",
        primary_speaker="S2",
        voice_sample="ann",
        transcript="[S1] Good morning.",
        temperature=1.25,
        cfg_scale=3.5,
        top_p=0.9,
        seed=2**63 - 1,
        speed=0.75,
    )
    with opened(place) as store:
        put(store, "ann")
        assert store.put_voice(replace(voice, builtin=True)) == voice
    with opened(place) as store:
        assert store.voice("Чтец 2") == voice
        assert store.voices()[-1] == voice


def test_a_change_updates_only_given_fields_and_none_clears(store: VoiceStore) -> None:
    put(store, "ann")
    voice = store.put_voice(
        StoredVoice("reader", "Reader", voice_sample="ann", transcript="Hello.", seed=7, top_p=0.5)
    )
    assert store.change_voice("reader") == voice
    changed = store.change_voice("reader", style="calm", transcript=None, seed=None)
    assert changed == replace(voice, style="calm", transcript=None, seed=None)
    assert store.voice("reader") == changed
    assert store.change_voice("reader", voice_sample=None).voice_sample is None
    store.delete_voice_sample("ann")


def test_changing_a_built_in_voice_shadows_it(store: VoiceStore) -> None:
    changed = store.change_voice("kai", speed=1.5)
    assert changed == StoredVoice("kai", "Kai", "friendly", "S1", speed=1.5)
    store.delete_voice("kai")
    assert store.voice("kai").speed is None


def test_an_unknown_voice(store: VoiceStore) -> None:
    with pytest.raises(UnknownVoice):
        store.voice("nobody")
    with pytest.raises(UnknownVoice):
        store.change_voice("nobody", speed=2.0)
    with pytest.raises(UnknownVoice):
        store.delete_voice("nobody")


def test_rejects_a_voice_with_an_unknown_voice_sample(store: VoiceStore) -> None:
    with pytest.raises(UnknownVoiceSample):
        store.put_voice(StoredVoice("reader", "Reader", voice_sample="nothing"))
    voice = store.put_voice(StoredVoice("reader", "Reader"))
    with pytest.raises(UnknownVoiceSample):
        store.change_voice("reader", speed=2.0, voice_sample="nothing")
    assert store.voice("reader") == voice


@pytest.mark.parametrize(
    ("voice", "field"),
    [
        (StoredVoice("../x", "Reader"), "voice_id"),
        (StoredVoice("reader", "a\0b"), "name"),
        (StoredVoice("reader", "Reader", style=""), "style"),
        (StoredVoice("reader", "Reader", style="a\nb"), "style"),
        (StoredVoice("reader", "Reader", style="s" * 65), "style"),
        (StoredVoice("reader", "Reader", primary_speaker="S9"), "primary_speaker"),  # type: ignore[arg-type]
    ],
)
def test_rejects_an_invalid_voice_and_names_the_field(
    store: VoiceStore, voice: StoredVoice, field: str
) -> None:
    before = store.voices()
    with pytest.raises(BadValue, match=f"^{field}: "):
        store.put_voice(voice)
    assert store.voices() == before


def test_names_are_not_interpreted(store: VoiceStore, tmp_path: Path) -> None:
    name = "drop table prompts"
    put(store, name)
    store.put_voice(StoredVoice(name, name, voice_sample=name, transcript="'; DROP TABLE voices; --"))
    assert store.voice(name).transcript == "'; DROP TABLE voices; --"
    assert files(tmp_path / "prompts") == {blob(b"RIFF one")}


def test_a_null_character_is_stored_by_sqlite_and_rejected_by_postgresql(
    store: VoiceStore, place: Place
) -> None:
    voice = StoredVoice("reader", "Reader", transcript="Hello\0there.")
    if place.url is None:
        assert store.put_voice(voice) == store.voice("reader") == voice
    else:
        with pytest.raises(BadValue, match="character that cannot be stored"):
            store.put_voice(voice)
    with pytest.raises(UnknownVoice):
        store.voice("reader\0")
    with pytest.raises(UnknownVoiceSample):
        store.voice_sample("ann\0")
