"""Word marks and the pieces of audio they are in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from helpers.espeak import Speaker, audio_of, check_order, marks_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming_server.engines.espeak.library import EventKind, LibraryEvent
from streaming_server.engines.espeak.pieces import PieceCutter
from streaming_server.engines.espeak.timeline import WordTimeline
from streaming_server.engines.spoken_form import spoken_form
from streaming_server.types import Audio, Event, Finished, WordMark, Words


def test_each_written_word_gets_one_mark(speaker: Speaker) -> None:
    text = "He said “well” — I have 1,234 cats… and don't stop-gap, 👋🏽 U.S.A. café."
    words = [text[mark.start : mark.end] for mark in marks_of(speaker.say(text))]
    assert " ".join(words) == "He said well I have 1,234 cats and don't stop-gap 👋🏽 U.S.A café"


def test_chinese_is_marked_without_spaces(speaker: Speaker) -> None:
    marks = marks_of(speaker.say("今天天气很好", language="cmn"))
    assert len(marks) >= 4


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("cmn", "今天天气很好，我们去公园。"),
        ("zh", "你好吗？很好 谢谢。"),
        ("th", "สวัสดีครับ ผมชื่อ"),
        ("ja", "こんにちは、元気ですか。"),
        ("ko", "안녕하세요 여러분."),
        ("ru", "Как дела? Хорошо, спасибо."),
        ("ar", "مرحبا، كيف حالك اليوم؟"),
        ("fa", "سلام، چطور هستید؟"),
        ("ur", "آپ کیسے ہیں؟"),
        ("uk", "Привіт, як твої справи?"),
        ("he", "שלום, מה שלומך היום?"),
        ("el", "Γεια σου, τι κάνεις;"),
        ("hi", "नमस्ते, आप कैसे हैं?"),
        ("bn", "আপনি কেমন আছেন?"),
        ("pa", "ਤੁਸੀਂ ਕਿਵੇਂ ਹੋ?"),
        ("gu", "તમે કેમ છો?"),
        ("or", "ଆପଣ କେମିତି ଅଛନ୍ତି?"),
        ("ta", "நீங்கள் எப்படி இருக்கிறீர்கள்?"),
        ("te", "మీరు ఎలా ఉన్నారు?"),
        ("kn", "ನೀವು ಹೇಗಿದ್ದೀರಿ?"),
        ("ml", "നിങ്ങൾക്ക് സുഖമാണോ?"),
        ("si", "ඔබට කොහොමද?"),
        ("my", "နေကောင်းလား။"),
        ("ka", "გამარჯობა, როგორ ხარ?"),
        ("hy", "Բարեւ Ձեզ, ինչպես եք?"),
        ("am", "ሰላም እንዴት ነህ"),
        ("zh", "我用 Python 写 code 三年了。"),
    ],
)
def test_every_word_has_a_mark_in_every_language(speaker: Speaker, language: str, text: str) -> None:
    events = speaker.say(text, language=language)
    marked = "".join(text[mark.start : mark.end] for mark in marks_of(events))
    punctuation = "，。？、.,?; ،؟။"
    spoken = [letter for letter in text if letter not in punctuation]
    assert [letter for letter in marked if letter not in punctuation] == spoken
    assert check_order(text, events)


def test_every_language_of_the_library_marks_every_word(speaker: Speaker) -> None:
    text = "Anna, ma so? No."
    for language in speaker.engine.info.languages:
        marks = marks_of(speaker.say(text, language=language))
        assert [text[mark.start : mark.end] for mark in marks] == ["Anna", "ma", "so", "No"], language


def test_marks_match_the_librarys_positions(speaker: Speaker) -> None:
    marks = marks_of(speaker.say("Hello there, world."))
    sample = [mark.start_sample for mark in marks]
    assert sample[0] == 0
    assert 0.2 < sample[1] / 22050 < 0.4
    assert marks[0].end_sample == marks[1].start_sample
    assert not any(mark.estimated for mark in marks)


def test_a_very_long_word_is_sent_early_with_an_estimated_mark(speaker: Speaker) -> None:
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
def test_words_run_together_by_the_library_are_marked_separately(speaker: Speaker, text: str) -> None:
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


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=WEIRD, language=st.sampled_from(["en-US", "en-US", "de", "cmn", "ja", "ar", "th"]))
def test_marks_of_any_text_are_in_order(speaker: Speaker, text: str, language: str) -> None:
    assert len(spoken_form(text)) == len(text)
    assert check_order(text, speaker.say(text, language=language, speed=2.0))


FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize("text", ["\u202e" * 400, FAMILY * 80, "\u0301" * 400, "a" * 400, "[[" * 200])
def test_marks_of_400_unusual_characters_are_in_order(speaker: Speaker, text: str) -> None:
    assert check_order(text, speaker.say(text, speed=4.0))


def test_a_unit_lasts_through_the_clauses_within_it() -> None:
    text = "on May sixth, nineteen ten, we"
    timeline = WordTimeline(text, units=((3, 26),))
    assert timeline.word(1, 2, 0) == ()
    assert timeline.word(4, 3, 100) == (WordMark(0, 2, 0, 100),)
    timeline.clause_end(200)
    assert timeline.in_unit
    assert [timeline.word(15, 8, 300), timeline.word(24, 3, 400)] == [(), ()]
    timeline.clause_end(500)
    assert timeline.word(29, 2, 600) == (WordMark(3, 26, 100, 500),)
    assert not timeline.in_unit


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["word", "word", "clause end"]),
            st.integers(-2, 30),
            st.integers(-1, 9),
            st.integers(0, 99_999),
        ),
        max_size=20,
    ),
    st.sampled_from([(), ((4, 15),), ((0, 9), (16, 27))]),
)
def test_marks_never_go_back_whatever_the_library_reports(
    events: list[tuple[EventKind, int, int, int]], units: tuple[tuple[int, int], ...]
) -> None:
    text = "one 1,234 “two” — 今天 three"
    cutter = PieceCutter(WordTimeline(text, units), 22050)
    pieces = [cutter.take(b"\1\0" * 1000, [LibraryEvent(*event)]) for event in events]
    pieces.append(cutter.rest())
    out: list[Event] = []
    for piece in pieces:
        if piece is not None:
            out += [Words(1, piece.marks)] if piece.marks else []
            out += [Audio(1, piece.pcm)] if piece.pcm else []
    assert check_order(text, [*out, Finished(1, 0.0)])
    assert len(audio_of(out)) == 2000 * len(events)
