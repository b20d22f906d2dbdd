"""Text becomes passages and pauses that quote the client's text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.errors import BadValue, InternalError
from streaming_server.text.items import Pause
from streaming_server.text.narration import FlushPoint, Narration
from streaming_server.text.passage import Passage, Pronounced
from streaming_server.text.pronunciations import Pronunciation, Pronunciations
from streaming_server.text.segmenter import Segmenter
from streaming_server.text.style import SpeakingStyle
from streaming_server.types import ChunkPolicy, LanguageSpan, WordMark

SINGLE = ChunkPolicy(min_chars=1, best_chars=1, max_chars=400, patience_s=0.1)
"""A policy by which every sentence is a separate passage."""
PACKED = ChunkPolicy(min_chars=1, best_chars=200, max_chars=400, patience_s=0.1)

WORDS = (
    "Hello", "**bold**", "there.", "It", "costs", "$3.50.", "[S1]", "[S2]", '<break time="1s"/>', "(laughs)",
    "😀", "[a](http://b)", "Dr. Smith", "`x`.", "Привет.", "你好。", "\n", "- item\n", "```\ncode\n```\n",
    "*Really?*", "&amp;", "<prosody rate='slow'>", "</prosody>", "<emphasis>so</emphasis>!",
)  # fmt: skip


def narrated(
    deltas: Iterable[str],
    policy: ChunkPolicy = SINGLE,
    *,
    detect: bool = False,
    inline: bool = False,
    **style: Any,
) -> list[Passage | Pause | FlushPoint]:
    narration = Narration(
        policy,
        SpeakingStyle(**style),
        detect_language=detect,
        mix_languages=detect,
        inline_prosody=inline,
    )
    for delta in deltas:
        narration.append(delta)
    narration.finish()
    return all_of(narration)


def all_of(narration: Narration) -> list[Passage | Pause | FlushPoint]:
    taken = []
    while (item := narration.take(first=False)) is not None:
        taken.append(item)
    return taken


def shown(items: Iterable[Passage | Pause | FlushPoint]) -> list[object]:
    return [
        (
            item.text,
            item.sentences,
            item.language,
            item.speaker,
            item.pronounced,
            item.prosody,
            item.spans,
            item.continues,
        )
        if isinstance(item, Passage)
        else item
        for item in items
    ]


def passages(items: Iterable[Passage | Pause | FlushPoint]) -> list[Passage]:
    return [item for item in items if isinstance(item, Passage)]


texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(["", " ", " ", "\n"])), max_size=15).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)


@given(texts, st.sampled_from([SINGLE, PACKED]), st.booleans())
def test_cuts_between_deltas_change_nothing(text: str, policy: ChunkPolicy, inline: bool) -> None:
    one_by_one, whole = (
        narrated(deltas, policy, detect=True, inline=inline, pitch=True) for deltas in (text, [text])
    )
    assert shown(one_by_one) == shown(whole)


@given(texts)
def test_sentences_quote_the_client_in_order(text: str) -> None:
    at = 0
    for passage in passages(narrated([text], PACKED)):
        assert (passage.start, passage.end) == (passage.sentences[0].start, passage.sentences[-1].end)
        for sentence in passage.sentences:
            assert sentence.text == text[sentence.start : sentence.end]
            assert at <= sentence.start
            at = sentence.end


@given(
    st.lists(st.sampled_from(["One.", "Two", "three!", "“Four?”", "\n", "Mr. X"]), max_size=12).map(" ".join)
)
def test_plain_text_is_segmented_as_it_stands(text: str) -> None:
    segmenter = Segmenter(SINGLE)
    segmenter.append(text)
    segmenter.flush()
    expected = []
    while sentences := segmenter.take(first=False):
        start, end = sentences[0].spoken_start, sentences[-1].spoken_end
        expected.append((text[start:end], start, end))
    assert [(p.text, p.start, p.end) for p in passages(narrated([text], enabled=False))] == expected


def test_a_sentence_keeps_the_marks_around_it() -> None:
    found = passages(narrated(["- **Bold** one. *It ends.* `Next`!"]))
    assert [p.text for p in found] == ["Bold one.", "It ends.", "Next!"]
    assert [p.sentences[0].text for p in found] == ["**Bold** one.", "*It ends.*", "`Next`!"]


def test_no_tag_around_a_sentence_is_quoted() -> None:
    found = narrated(['<speak>One.<break time="2s"/>Two.</speak>'])
    assert [p.sentences[0].text for p in passages(found)] == ["One.", "Two."]
    assert found[1] == Pause(2.0, 11)


@pytest.mark.parametrize(
    "text",
    [
        "<b>He</b>llo there.",
        "Chapter <emphasis>IV</emphasis>",
        "It is x<sup>2</sup>",
        "<i>So <b>far</b></i>, good.",
        "<a href='x'>This</a>.",
    ],
)
def test_a_sentence_is_quoted_with_both_tags_of_a_pair(text: str) -> None:
    assert [s.text for p in passages(narrated([text])) for s in p.sentences] == [text]


def test_words_that_stand_for_one_thing_become_one_mark() -> None:
    (passage,) = passages(narrated(["Pay $3.50 now."]))
    assert passage.text == "Pay three dollars and fifty cents now."
    spoken = [(0, 3), (4, 9), (10, 17), (18, 21), (22, 27), (28, 33), (34, 37)]
    marks = [WordMark(a, b, 10 * a, 10 * b) for a, b in spoken]
    assert passage.written(marks) == [
        WordMark(0, 3, 0, 30),
        WordMark(4, 9, 40, 330),
        WordMark(10, 13, 340, 370),
    ]


def test_a_word_is_quoted_with_both_tags_of_a_pair() -> None:
    text = "<b>He</b>llo, it is <i>5</i> km <u>away</u>."
    (passage,) = passages(narrated([text]))
    marks = [
        WordMark(match.start(), match.end(), 0, 0) for match in re.finditer(r"five \w+|\w+", passage.text)
    ]
    quoted = [text[mark.start : mark.end] for mark in passage.written(marks)]
    assert quoted == ["<b>He</b>llo", "it", "is", "<i>5</i> km", "away"]


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("Pay $3.50 now.", ["three dollars and fifty cents"]),
        ("I saw 2024's best.", ["twenty twenty-four's"]),
        ("On 12/25/2024 and in May.", ["December twenty-fifth, twenty twenty-four"]),
        ("Nothing to rewrite here.", []),
    ],
)
def test_words_that_stand_for_one_thing_are_a_unit(text: str, units: list[str]) -> None:
    (passage,) = passages(narrated([text]))
    assert [passage.text[start:end].rstrip(",.") for start, end in passage.units()] == units


def test_speakers_change_between_passages() -> None:
    found = passages(narrated(["Hi. [S1] One. [S2] Two. Three."], PACKED))
    assert [(p.text, p.speaker) for p in found] == [("Hi.", None), ("One.", "S1"), ("Two. Three.", "S2")]


def test_an_engine_that_reads_speaker_tags_gets_one_passage() -> None:
    (passage,) = passages(narrated(["[S1] One. [S2] Two."], PACKED, speaker_tags=True))
    assert (passage.text, passage.speaker) == ("[S1] One. [S2] Two.", None)


def test_a_passage_is_in_one_language() -> None:
    text = "Hello. Hi. Привет. 你好。"
    found = passages(narrated([text], PACKED, detect=True))
    assert [(p.text, p.language) for p in found] == [
        ("Hello. Hi.", "en"),
        ("Привет.", "ru"),
        ("你好。", "zh"),
    ]
    assert [p.language for p in passages(narrated([text], PACKED))] == ["en"]


def test_words_of_another_script_stay_in_their_sentence() -> None:
    found = passages(narrated(["Say 你好 to him. He wrote Привет, мир on it."], detect=True))
    assert [(p.text, p.language, p.foreign) for p in found] == [
        ("Say 你好 to him.", "en", (LanguageSpan(4, 6, "zh"),)),
        ("He wrote Привет, мир on it.", "en", (LanguageSpan(9, 20, "ru"),)),
    ]


def test_a_pause_splits_a_sentence_and_keeps_its_place() -> None:
    found = narrated(["One [pause 1s] two, <break time='20s'/><break time='1s'/>three."])
    assert [item.text if isinstance(item, Passage) else item.seconds for item in found] == [  # type: ignore[union-attr]
        "One",
        1.0,
        "two,",
        10.0,
        1.0,
        "three.",
    ]


@pytest.mark.parametrize(
    ("text", "continues"),
    [
        ("One [pause 1s] two, <break time='1s'/>three.", [True, True, False]),
        ("One. [pause 1s] “Two!” [pause 1s]\n", [False, False]),
        ("One\n[pause 1s] two", [False, False]),
        ("[S1] He said [S2] hi [S1] and left. [S2] Bye.", [True, True, False, False]),
        ("One [pause 1s]", [True]),
    ],
)
def test_a_sentence_goes_on_after_a_pause_or_with_another_speaker(text: str, continues: list[bool]) -> None:
    assert [passage.continues for passage in passages(narrated([text]))] == continues


def test_flushes_come_after_the_text_before_them() -> None:
    narration = Narration(PACKED, SpeakingStyle())
    narration.flush()
    narration.append("One. It is 5")
    narration.flush()
    narration.flush()
    narration.append(" Two")
    narration.finish()
    found = all_of(narration)
    assert [item.text if isinstance(item, Passage) else "flush" for item in found] == [
        "flush",
        "One. It is five",
        "flush",
        "flush",
        "Two",
    ]


def test_pronunciations_travel_with_the_passage() -> None:
    words = Pronunciations({"en": {"tomato": Pronunciation(ipa="təˈmɑːtoʊ")}})
    (passage,) = passages(narrated(["A tomato."], ipa=True, pronunciations=lambda: words))
    assert passage.pronounced == (Pronounced(2, 8, "təˈmɑːtoʊ"),)


def test_a_short_first_sentence_waits() -> None:
    narration = Narration(ChunkPolicy(10, 100, 100, 0.1), SpeakingStyle())
    narration.append("Hi. ")
    assert narration.take(first=True) is None
    assert narration.waiting
    passage = narration.take(first=True, impatient=True)
    assert isinstance(passage, Passage)
    assert passage.text == "Hi."


def test_rejects_text_after_the_end_and_unpaired_surrogates() -> None:
    narration = Narration(SINGLE, SpeakingStyle())
    with pytest.raises(BadValue):
        narration.append("\ude00")
    narration.append("Hi \ud83d")
    assert (narration.received, narration.text) == (3, "Hi ")
    with pytest.raises(BadValue):
        narration.flush()
    narration.append("\ude00")
    narration.finish()
    narration.finish()
    assert narration.text == "Hi \U0001f600"
    with pytest.raises(InternalError):
        narration.append("x")
