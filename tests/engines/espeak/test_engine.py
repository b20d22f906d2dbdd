"""The eSpeak NG engine: what it says, where its words are, and how it is driven."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming_server.engines.espeak.engine import (
    TIMBRES,
    EspeakEngine,
    PieceCutter,
    WordTimeline,
    is_speakable,
    setting_for,
    spoken_form,
    timbre_of,
)
from streaming_server.types import (
    BUILTIN_VOICES,
    Audio,
    Event,
    Failed,
    Finished,
    Generation,
    Utterance,
    Voice,
    WordMark,
    Words,
)

SENTENCE = "This is a long sentence, with words, that a voice should speak at a chosen pace."

DIRECT = r"""
import ctypes, sys
import espeakng_loader
voice, rate, gap, volume, pitch, inflection = sys.argv[1], *map(int, sys.argv[2:7])
lib = ctypes.CDLL(espeakng_loader.get_library_path())
lib.espeak_Initialize(2, 60, espeakng_loader.get_data_path().encode(), 0x8000)
def said(wave, samples, events):
    if wave and samples:
        sys.stdout.buffer.write(ctypes.string_at(wave, 2 * samples))
    return 0
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(said)
lib.espeak_SetSynthCallback(callback)
assert lib.espeak_SetVoiceByName(voice.encode()) == 0
for parameter, value in ((1, rate), (2, volume), (3, pitch), (4, inflection), (7, gap)):
    lib.espeak_SetParameter(parameter, value, 0)
for text in sys.argv[7:]:
    data = text.encode() + b"\0"
    lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
    lib.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, 0x1001, None, None)
"""


class Speaker:
    """Drives one engine for the whole module: the library is a process's own."""

    def __init__(self) -> None:
        self.engine = EspeakEngine()
        self.ids = count(1)

    def submit(self, text: str, voice: str = "aria", deadline: float = 0.0, **generation: object) -> int:
        utterance = next(self.ids)
        options = Generation(**generation)  # type: ignore[arg-type]
        self.engine.submit(Utterance(utterance, utterance, text, voice_named(voice), options, deadline))
        return utterance

    def drain(self) -> list[Event]:
        events: list[Event] = []
        while self.engine.active:
            events += self.engine.step()
        return events

    def say(self, text: str, voice: str = "aria", **generation: object) -> list[Event]:
        self.submit(text, voice, **generation)
        return self.drain()

    def pcm(self, text: str, voice: str = "aria", **generation: object) -> bytes:
        return audio_of(self.say(text, voice, **generation))


def audio_of(events: list[Event]) -> bytes:
    return b"".join(event.pcm for event in events if isinstance(event, Audio))


def marks_of(events: list[Event]) -> list[WordMark]:
    return [mark for event in events if isinstance(event, Words) for mark in event.marks]


def voice_named(voice: str, style: str = "plain") -> Voice:
    return next((known for known in BUILTIN_VOICES if known.id == voice), Voice(voice, voice, style))


def directly(texts: list[str], voice: str, *settings: int) -> bytes:
    """The library's own audio. Settings: rate, gap, volume, pitch, inflection."""
    numbers = [str(number) for number in settings]
    command = [sys.executable, "-c", DIRECT, voice, *numbers, *texts]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    speaker = Speaker()
    yield speaker
    speaker.engine.close()


@pytest.fixture(autouse=True)
def nothing_left(speaker: Speaker) -> Iterator[None]:
    yield
    speaker.drain()


def test_the_engine_tells_what_it_is(speaker: Speaker) -> None:
    info = speaker.engine.info
    assert (info.name, info.sample_rate, info.can_clone) == ("espeak", 22050, False)
    assert {"en-US", "de", "fr-FR", "pt-BR", "zh"} <= set(info.languages)
    assert info.uses == {"language", "speed", "pitch"}


def test_the_audio_is_sample_for_sample_the_library_s(speaker: Speaker) -> None:
    texts = [SENTENCE, "It has 42 parts, and costs 3.50 — truly.", "One. Two? Three!"]
    spoken = b"".join(speaker.pcm(text) for text in texts)
    assert spoken == directly(texts, "en-us+shelby", 175, 0, 100, 55, 50)


@pytest.mark.parametrize("voice", TIMBRES)
@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_every_voice_and_speed_is_the_library_s_own_audio(speaker: Speaker, voice: str, speed: float) -> None:
    how = setting_for(voice_named(voice), "en-us", speed)
    expected = directly([SENTENCE], how.voice, how.rate, how.gap, how.volume, how.pitch, how.inflection)
    assert speaker.pcm(SENTENCE, voice, speed=speed) == expected


def test_the_same_text_sounds_the_same_whatever_was_said_before(speaker: Speaker) -> None:
    for voice in TIMBRES:
        first = speaker.pcm(SENTENCE, voice)
        speaker.pcm("Something else, in between.", "atlas", speed=1.3)
        speaker.pcm("Noch etwas anderes.", "kai", language="de")
        assert speaker.pcm(SENTENCE, voice) == first


def test_the_builtin_voices_all_have_a_timbre_of_their_own(speaker: Speaker) -> None:
    assert set(TIMBRES) == {voice.id for voice in BUILTIN_VOICES}
    heard = {voice: speaker.pcm(SENTENCE, voice) for voice in TIMBRES}
    assert len(set(heard.values())) == len(TIMBRES)
    pitches = sorted(median_pitch(pcm) for pcm in heard.values())
    assert all(later > 1.04 * earlier for earlier, later in pairwise(pitches)), pitches


def median_pitch(pcm: bytes) -> float:
    """Hz, by autocorrelation of the loud windows."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    found = []
    for start in range(0, len(samples) - 1024, 512):
        window = samples[start : start + 1024] - samples[start : start + 1024].mean()
        if window.std() > 1000:
            similarity = np.correlate(window, window, "full")[1023:]
            lag = 55 + int(np.argmax(similarity[55:400]))
            found.append(22050 / lag)
    return float(np.median(found))


def test_a_voice_of_the_user_s_sounds_like_the_built_in_one_of_its_style_or_the_default_one() -> None:
    assert timbre_of(voice_named("somebody")) == TIMBRES["aria"]
    assert timbre_of(voice_named("somebody", style="friendly")) == TIMBRES["kai"]


@pytest.mark.parametrize("pitch", [0.8, 1.25])
def test_pitch_is_relative_to_the_voice_s_own(speaker: Speaker, pitch: float) -> None:
    own = median_pitch(speaker.pcm(SENTENCE))
    assert median_pitch(speaker.pcm(SENTENCE, pitch=pitch)) == pytest.approx(own * pitch, rel=0.08)


def test_a_pitch_beyond_what_the_library_has_is_the_nearest_it_has(speaker: Speaker) -> None:
    assert setting_for(voice_named("luna"), "en-us", pitch=2.0).pitch == 99
    assert setting_for(voice_named("zara"), "en-us", pitch=0.5).pitch == 0


def test_each_step_of_speed_shortens_the_speech(speaker: Speaker) -> None:
    speeds = [0.25, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 2.6, 3.0, 4.0]
    for voice in TIMBRES:
        lengths = [len(speaker.pcm(SENTENCE, voice, speed=speed)) for speed in speeds]
        assert lengths == sorted(lengths, reverse=True)
        assert len(set(lengths)) == len(lengths)
        for speed, length in zip(speeds, lengths, strict=True):
            assert length * speed / lengths[4] == pytest.approx(1.0, abs=0.2)


def test_languages_differ_and_a_region_falls_back_to_its_language(speaker: Speaker) -> None:
    german = speaker.pcm("Hand in Hand", language="de")
    assert german != speaker.pcm("Hand in Hand")
    assert german == speaker.pcm("Hand in Hand", language="DE-at")


def test_every_language_listed_is_spoken(speaker: Speaker) -> None:
    for language in speaker.engine.info.languages:
        events = speaker.say("mama 7", language=language)
        assert isinstance(events[-1], Finished), language
        assert np.frombuffer(audio_of(events), "<i2").any(), language


def test_an_unknown_language_fails_by_name(speaker: Speaker) -> None:
    (event,) = speaker.say("Hello", language="xx-YY")
    assert isinstance(event, Failed)
    assert (event.code, event.retryable) == ("bad_value", False)
    assert "xx-YY" in event.message


@pytest.mark.parametrize("text", ["...", "— !?", "[S1] (laughs)", "\x01\x02", "", " \n "])
def test_what_cannot_be_spoken_finishes_without_audio(speaker: Speaker, text: str) -> None:
    (event,) = speaker.say(text)
    assert isinstance(event, Finished)


@pytest.mark.parametrize("text", ["%", "7", "👋", "€", "£", "+", "♥", "→", "a", "é", "你好", "مرحبا"])
def test_a_single_symbol_is_spoken(speaker: Speaker, text: str) -> None:
    assert is_speakable(spoken_form(text))
    assert speaker.pcm(text)


def test_tags_and_control_characters_are_blanked_in_place(speaker: Speaker) -> None:
    text = "[S1] Hi \x0140S (laughs) there"
    assert spoken_form(text) == "     Hi  40S          there"
    words = [text[mark.start : mark.end] for mark in marks_of(speaker.say(text))]
    assert (words[0], words[-1]) == ("Hi", "there")


def test_markup_and_phonemes_are_read_and_not_obeyed(speaker: Speaker) -> None:
    assert len(speaker.pcm("a <b>bold</b> word")) > 1.5 * len(speaker.pcm("a bold word"))
    assert len(speaker.pcm("[[h@l'oU]]")) > 1.5 * len(speaker.pcm("hello"))
    assert len(speaker.pcm('<break time="9s"/> a')) < 9 * 2 * 22050


def test_each_written_word_has_one_mark(speaker: Speaker) -> None:
    text = "He said “well” — I have 1,234 cats… and don't stop-gap, 👋🏽 U.S.A. café."
    words = [text[mark.start : mark.end] for mark in marks_of(speaker.say(text))]
    assert " ".join(words) == "He said well I have 1,234 cats and don't stop-gap 👋🏽 U.S.A café"


def test_chinese_is_marked_without_spaces(speaker: Speaker) -> None:
    marks = marks_of(speaker.say("今天天气很好", language="cmn"))
    assert len(marks) >= 4


def test_marks_are_where_the_library_says(speaker: Speaker) -> None:
    marks = marks_of(speaker.say("Hello there, world."))
    sample = [mark.start_sample for mark in marks]
    assert sample[0] == 0
    assert 0.2 < sample[1] / 22050 < 0.4
    assert marks[0].end_sample == marks[1].start_sample
    assert not any(mark.estimated for mark in marks)


def test_a_very_long_word_lets_its_audio_go_and_says_that_it_guessed(speaker: Speaker) -> None:
    events = speaker.say("1234567890123456 ends")
    assert [mark.estimated for mark in marks_of(events)] == [True, False]
    pieces = [len(event.pcm) / 2 / 22050 for event in events if isinstance(event, Audio)]
    assert pieces[0] < 2.2
    assert max(pieces) < 4
    assert check_order("1234567890123456 ends", events)


@pytest.mark.parametrize(
    "text",
    [
        "I am a fox.",
        "You are in the house, of course; it is on the table.",
        "It was on the list of the day.",
    ],
)
def test_words_the_library_runs_together_are_marked_all_the_same(speaker: Speaker, text: str) -> None:
    marks = marks_of(speaker.say(text))
    assert [text[mark.start : mark.end] for mark in marks] == [word.strip(".,;") for word in text.split()]
    times = [(mark.start_sample, mark.end_sample) for mark in marks]
    assert all(before[1] <= after[0] for before, after in pairwise(times))
    assert any(mark.estimated for mark in marks)


WEIRD = st.text(
    st.one_of(
        st.sampled_from("aeiou tnsr  .,;!?—…\n'\"()[]<>&0123456789%$@"),
        st.sampled_from("\x01\x1b\x7f\u200d\u202e\ufeff\ue001é中日本ไทยمرשл👋🏽🇩🇪\U0001f9d1\u0301"),
        st.characters(exclude_characters="\0"),
    ),
    max_size=60,
)


def check_order(text: str, events: list[Event]) -> bool:
    """Asserts all that is promised of one utterance's events."""
    sent, at, offset = 0, 0, 0
    assert isinstance(events[-1], Finished)
    total = len(audio_of(events)) // 2
    for event in events[:-1]:
        if isinstance(event, Audio):
            assert event.pcm
            assert len(event.pcm) % 2 == 0
            sent += len(event.pcm) // 2
            continue
        assert isinstance(event, Words)
        assert event.marks
        for mark in event.marks:
            assert offset <= mark.start < mark.end <= len(text)
            assert max(at, sent) <= mark.start_sample <= mark.end_sample <= total
            offset, at = mark.end, mark.end_sample
    return True


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=WEIRD, language=st.sampled_from(["en-US", "en-US", "de", "cmn", "ja", "ar", "th"]))
def test_any_text_is_harmless_and_its_marks_are_in_order(speaker: Speaker, text: str, language: str) -> None:
    assert len(spoken_form(text)) == len(text)
    assert check_order(text, speaker.say(text, language=language, speed=2.0))


FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize("text", ["\u202e" * 400, FAMILY * 80, "\u0301" * 400, "a" * 400, "[[" * 200])
def test_four_hundred_odd_characters_are_harmless(speaker: Speaker, text: str) -> None:
    assert check_order(text, speaker.say(text, speed=4.0))


@given(st.lists(st.tuples(st.integers(-2, 30), st.integers(-1, 9), st.integers(0, 99_999)), max_size=20))
def test_a_timeline_never_goes_back_whatever_the_library_reports(events: list[tuple[int, int, int]]) -> None:
    text = "one 1,234 “two” — 今天 three"
    cutter = PieceCutter(WordTimeline(text), 22050)
    pieces = [cutter.take(b"\1\0" * 1000, [(1, *event)]) for event in events]
    pieces.append(cutter.rest())
    out: list[Event] = []
    for piece in pieces:
        if piece is not None:
            out += [Words(1, piece.marks)] if piece.marks else []
            out += [Audio(1, piece.pcm)] if piece.pcm else []
    assert check_order(text, [*out, Finished(1, 0.0)])
    assert len(audio_of(out)) == 2000 * len(events)


def test_an_idle_engine_returns_nothing(speaker: Speaker) -> None:
    assert speaker.engine.active == 0
    assert speaker.engine.step() == []


def test_the_first_step_ends_with_the_first_word(speaker: Speaker) -> None:
    speaker.submit(SENTENCE)
    words, audio = speaker.engine.step()
    assert isinstance(words, Words)
    assert isinstance(audio, Audio)
    assert [SENTENCE[mark.start : mark.end] for mark in words.marks] == ["This"]
    assert len(audio.pcm) == 2 * words.marks[-1].end_sample


def test_cancelling_after_any_step_leaves_nothing_and_a_sound_engine(speaker: Speaker) -> None:
    whole = speaker.say(SENTENCE)
    audio = audio_of(whole)
    speaker.submit(SENTENCE)
    steps = 0
    while speaker.engine.active:
        speaker.engine.step()
        steps += 1
    for after in range(steps + 1):
        utterance = speaker.submit(SENTENCE)
        heard: list[Event] = []
        for _ in range(after):
            heard += speaker.engine.step()
        speaker.engine.cancel(utterance)
        speaker.engine.cancel(utterance)
        assert speaker.engine.active == 0
        assert speaker.engine.step() == []
        assert audio.startswith(audio_of(heard))
        assert speaker.pcm(SENTENCE) == audio


def test_cancelling_one_that_waits_does_not_touch_the_others(speaker: Speaker) -> None:
    first, second, third = (speaker.submit("Hello there.") for _ in range(3))
    speaker.engine.step()
    speaker.engine.cancel(second)
    assert speaker.engine.active == 2
    finished = [event.utterance for event in speaker.drain() if isinstance(event, Finished)]
    assert finished == [first, third]


def test_many_cancelled_utterances_leave_the_rest_in_order(speaker: Speaker) -> None:
    ids = [speaker.submit("Hi.", deadline=float(-index)) for index in range(300)]
    for utterance in ids[3:]:
        speaker.engine.cancel(utterance)
    finished = [event.utterance for event in speaker.drain() if isinstance(event, Finished)]
    assert finished == [ids[2], ids[1], ids[0]]


def test_the_earliest_deadline_is_spoken_first_and_ties_in_order_of_arrival(speaker: Speaker) -> None:
    late, early, also_early = (speaker.submit("Hello.", deadline=at) for at in (9.0, 1.0, 1.0))
    finished = [event.utterance for event in speaker.drain() if isinstance(event, Finished)]
    assert finished == [early, also_early, late]


def test_finished_tells_the_time_spent(speaker: Speaker) -> None:
    *_, finished = speaker.say(SENTENCE)
    assert isinstance(finished, Finished)
    assert 0.0 < finished.busy_s < 1.0


def test_release_and_relieve_may_come_at_any_time(speaker: Speaker) -> None:
    utterance = speaker.submit("Hello there.")
    speaker.engine.step()
    speaker.engine.release(utterance)
    speaker.engine.release(utterance)
    speaker.engine.relieve()
    assert isinstance(speaker.drain()[-1], Finished)


def test_memory_is_the_machine_s(speaker: Speaker) -> None:
    report = speaker.engine.memory()
    assert 0 < report.used < report.total


def test_the_engine_brings_no_heavy_modules_and_closes_in_mid_speech() -> None:
    program = """
import sys
from streaming_server.engines.espeak.engine import EspeakEngine
from streaming_server.types import DEFAULT_VOICE, Generation, Utterance
engine = EspeakEngine()
engine.submit(Utterance(1, 1, "Hello there, world.", DEFAULT_VOICE, Generation(), 0.0))
engine.step()
engine.close()
engine.close()
assert engine.active == 0
print(sorted({"numpy", "psutil", "soxr", "starlette", "asyncio"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n"
    assert done.stderr == ""
