"""Segmentation does not depend on how text is split into deltas."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import pytest
import sentencex
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.text.boundary import CONTEXT
from streaming_server.text.segmenter import Segmenter
from streaming_server.text.sentence import Sentence
from streaming_server.types import ChunkPolicy

SINGLE = ChunkPolicy(min_chars=1, best_chars=1, max_chars=400, patience_s=0.1)
"""A policy by which every sentence is a separate utterance."""

WORDS = (
    "Dr.", "Smith", "went", "home.", "The", "U.S.", "Senate", "e.g.", "this", "That", "i.e.", "3.14", "No.",
    "5",
    "J.", "R.", "Tolkien", '"Hi."', "she", "said.", "“Ok!”", "Wait...", "what?", "Really?!", "[S1]", "[S2]",
    "(laughs)", "(clears throat)", "(Fine. Go.)", "你好。", "我们走吧！", "「好。」", "नमस्ते।", "😀",
    "👩‍👩‍👧.",
    "\n", "\n\n", "\r\n", "  ", "…", "...", "**Bold.**", "a.b.c", "README.md", "me@example.com", "p.m.",
    "etc.",
    "_", "_.", "-", "€", "👍", "***", "+", "%",
    "don't", "'tis.", ".", "!", '"', "(", ")", "[", "É.", "été", "x" * 30, "😀" * 20,
)  # fmt: skip


Piece = tuple[Sentence, ...]


def pieces(segmenter: Segmenter) -> list[Piece]:
    taken = []
    while piece := segmenter.take(first=False):
        taken.append(piece)
    return taken


def text_of(piece: Piece | None) -> str:
    """Return what is spoken; empty for None."""
    return "".join(sentence.text for sentence in piece or ()).strip()


def segmented(deltas: Iterable[str], policy: ChunkPolicy = SINGLE, language: str = "en") -> list[Piece]:
    segmenter = Segmenter(policy, language)
    for delta in deltas:
        segmenter.append(delta)
    segmenter.flush()
    return pieces(segmenter)


def spoken(text: str, policy: ChunkPolicy = SINGLE, language: str = "en") -> list[str]:
    return [text_of(piece) for piece in segmented([text], policy, language)]


@st.composite
def texts(draw: st.DrawFn) -> str:
    words = st.one_of(st.sampled_from(WORDS), st.text(max_size=8))
    parts = draw(st.lists(st.tuples(words, st.sampled_from(["", " ", " ", " ", "\n"])), max_size=40))
    return "".join(word + gap for word, gap in parts).replace("\0", "")


@st.composite
def cuts(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=20)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


policies = st.builds(
    ChunkPolicy,
    min_chars=st.just(1),
    best_chars=st.sampled_from([1, 40, 200]),
    max_chars=st.sampled_from([1, 7, 40, 80, 400]),
    patience_s=st.just(0.1),
)


@given(st.data(), texts(), policies)
def test_cuts_between_deltas_change_nothing(data: st.DataObject, text: str, policy: ChunkPolicy) -> None:
    assert segmented(data.draw(cuts(text)), policy) == segmented([text], policy)


@given(texts(), policies)
def test_one_character_at_a_time_changes_nothing(text: str, policy: ChunkPolicy) -> None:
    assert segmented(text, policy) == segmented([text], policy)


@given(texts(), policies)
def test_no_text_is_lost_repeated_or_moved(text: str, policy: ChunkPolicy) -> None:
    segmenter = Segmenter(policy)
    segmenter.append(text)
    segmenter.flush()
    at = 0
    for piece in pieces(segmenter):
        assert text_of(piece) == text[piece[0].spoken_start : piece[-1].spoken_end]
        for sentence in piece:
            assert text[sentence.start : sentence.end] == sentence.text
            assert text[sentence.spoken_start : sentence.spoken_end] == sentence.text.strip() != ""
            assert not heard(text[at : sentence.start])
            at = sentence.end
    assert not heard(text[at:])
    assert (segmenter.received, segmenter.taken) == (len(text), len(text))


def heard(text: str) -> list[str]:
    """Return all characters that are read aloud, speaker tags aside."""
    for digit in "0123456789":
        text = text.replace(f"[S{digit}]", "")
    kinds = ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl", "No", "Sc", "Sm", "So")
    return [c for c in text if c in "%&@" or (unicodedata.category(c) in kinds and c not in "#*<>|~")]


@given(texts(), policies)
def test_no_piece_is_longer_than_the_policy_allows(text: str, policy: ChunkPolicy) -> None:
    for piece in segmented([text], policy):
        assert len(text_of(piece)) <= policy.max_chars
        assert len(text_of(piece)) <= policy.best_chars or len(piece) == 1


@given(st.data(), texts(), st.sets(st.integers(0, 200)))
def test_text_after_a_flush_is_segmented_on_its_own(data: st.DataObject, text: str, places: set[int]) -> None:
    marks = sorted({min(place, len(text)) for place in places})
    parts = [text[a:b] for a, b in zip([0, *marks], [*marks, len(text)], strict=True)]
    policy = ChunkPolicy(1, 200, 400, 0.1)
    segmenter = Segmenter(policy)
    for part in parts:
        for delta in data.draw(cuts(part)):
            segmenter.append(delta)
        segmenter.flush()
    together = [text_of(piece) for piece in pieces(segmenter)]
    assert together == [text_of(piece) for part in parts for piece in segmented([part], policy)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello there. How are you? Fine!", ["Hello there.", "How are you?", "Fine!"]),
        ("Dr. Smith went home. He slept.", ["Dr. Smith went home.", "He slept."]),
        ("Pi is 3.14 or so. Good.", ["Pi is 3.14 or so.", "Good."]),
        ("The U.S. Senate met. It voted.", ["The U.S. Senate met.", "It voted."]),
        ("Take fruit, e.g. apples. Eat.", ["Take fruit, e.g. apples.", "Eat."]),
        ('"Hi." she said. Then left.', ['"Hi." she said.', "Then left."]),
        ('"Stop." He left.', ['"Stop."', "He left."]),
        ("J. R. R. Tolkien wrote. We read.", ["J. R. R. Tolkien wrote.", "We read."]),
        ('"Wait... what?" She ran.', ['"Wait... what?"', "She ran."]),
        ("Wait... what? Yes.", ["Wait... what?", "Yes."]),
        ("Wait... What?", ["Wait...", "What?"]),
        ("So… it works. Good.", ["So… it works.", "Good."]),
        ("[S1] Hello. [S2] Hi there.", ["[S1] Hello.", "[S2] Hi there."]),
        ("Funny (laughs). Go on.", ["Funny (laughs).", "Go on."]),
        ("Well (no. never) then. Bye.", ["Well (no. never) then.", "Bye."]),
        ("**Done.** Next one.", ["**Done.**", "Next one."]),
        ("See README.md or v1.2 now. Go.", ["See README.md or v1.2 now.", "Go."]),
        ("Write to me@example.com now. Thanks.", ["Write to me@example.com now.", "Thanks."]),
        ("Really?! Yes.", ["Really?!", "Yes."]),
        ("你好。我们走吧！“好。”他说", ["你好。", "我们走吧！", "“好。”", "他说"]),
        ("नमस्ते। आप कैसे हैं?", ["नमस्ते।", "आप कैसे हैं?"]),
        ("A title\nA line\n\n\nAn end", ["A title", "A line", "An end"]),
        ("one\r\ntwo\u2028three", ["one", "two", "three"]),
        ("No space.Then more.", ["No space.", "Then more."]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert spoken(text) == sentences


@pytest.mark.parametrize(
    "sentence", ["Wir kommen am 5. Nov 2020 an.", "Der 3. Mann ging.", "Bis zum 12. Sept. ist Zeit."]
)
def test_german_ordinals_end_no_sentence(sentence: str) -> None:
    assert spoken(f"{sentence} Gut so.", language="de") == [sentence, "Gut so."]


def test_the_language_decides_about_abbreviations() -> None:
    text = "Am 3. Januar war es kalt. Gut."
    assert spoken(text, language="de-DE") == ["Am 3. Januar war es kalt.", "Gut."]
    assert spoken(text, language="en")[0] == "Am 3."


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "...", "***", '"?!"', "- \n - ", "[S1]", "\u200b", "#\n>", "–." * 500]
)
def test_text_without_words_is_never_a_piece(text: str) -> None:
    segmenter = Segmenter(SINGLE)
    segmenter.append(text)
    segmenter.flush()
    assert segmenter.take(first=True, impatient=True) is None
    assert segmenter.taken == segmenter.received
    assert not segmenter.waiting


@pytest.mark.parametrize("symbol", ["👍", "€", "%", "+", "♥"])
def test_a_symbol_alone_is_a_sentence(symbol: str) -> None:
    assert spoken(symbol) == [symbol]
    assert spoken(f"Great! {symbol}") == ["Great!", symbol]


@pytest.mark.parametrize("mark", ["...", "[S1]", "—", "***", "？"])
def test_text_without_words_belongs_to_the_next_sentence(mark: str) -> None:
    assert spoken(f"One.\n{mark}\nTwo.") == ["One.", f"{mark}\nTwo."]


@pytest.mark.parametrize(
    "sentence",
    [
        "Hello there.",
        "Is it you?",
        "Go!",
        "It cost 5 dollars.",
        "It isn't.",
        "I (really) am.",
    ],
)
def test_white_space_completes_a_sentence(sentence: str) -> None:
    segmenter = Segmenter(SINGLE)
    segmenter.append(sentence)
    assert segmenter.take(first=True) is None
    segmenter.append(" ")
    assert text_of(segmenter.take(first=True)) == sentence


def test_a_newline_or_the_next_ideograph_completes_a_sentence() -> None:
    for text, sentence in [("No stop\n", "No stop"), ("你好。我", "你好。")]:
        segmenter = Segmenter(SINGLE)
        segmenter.append(text)
        assert [text_of(piece) for piece in pieces(segmenter)] == [sentence]


def test_an_abbreviation_waits_for_the_next_word_only() -> None:
    segmenter = Segmenter(SINGLE)
    segmenter.append("He left at 5 p.m. ")
    assert pieces(segmenter) == []
    segmenter.append("However ")
    assert [text_of(piece) for piece in pieces(segmenter)] == ["He left at 5 p.m."]


def test_text_without_boundary_is_cut_at_white_space() -> None:
    policy = ChunkPolicy(1, 1, 20, 0.1)
    assert spoken("one two three four five six seven", policy) == ["one two three four", "five six seven"]
    assert spoken("one two three, fours five", policy) == ["one two three, fours", "five"]
    assert spoken("x" * 45, policy) == ["x" * 20, "x" * 20, "x" * 5]
    assert spoken("x" * 20, policy) == ["x" * 20]


@pytest.mark.parametrize("aside", ["[S1]", "(laughs)", "(clears her throat)"])
@pytest.mark.parametrize("before", range(30, 41))
@pytest.mark.parametrize("gap", ["", " "])
def test_no_cut_inside_a_tag_or_a_short_aside(aside: str, before: int, gap: str) -> None:
    parts = spoken("x" * before + gap + aside + "y" * 40, ChunkPolicy(1, 1, 40, 0.1))
    assert any(aside in text for text in parts)


def test_no_cut_inside_a_joined_emoji_or_before_a_mark() -> None:
    policy = ChunkPolicy(1, 1, 10, 0.1)
    assert spoken("x" * 8 + "👩\u200d👧yz", policy)[0] == "x" * 8
    assert spoken("x" * 9 + "e\u0301yz", policy)[0] == "x" * 9


def test_the_first_piece_is_one_sentence_and_later_ones_are_packed() -> None:
    segmenter = Segmenter(ChunkPolicy(5, 30, 100, 0.1))
    segmenter.append("Sentence one. Sentence two. Sentence six. Sentence ten. ")
    assert text_of(segmenter.take(first=True)) == "Sentence one."
    assert [text_of(piece) for piece in pieces(segmenter)] == ["Sentence two. Sentence six.", "Sentence ten."]


def test_a_sentence_longer_than_the_best_length_is_taken_alone() -> None:
    assert spoken("This one is rather long. Ab. Cd.", ChunkPolicy(1, 10, 100, 0.1)) == [
        "This one is rather long.",
        "Ab. Cd.",
    ]


def short_start() -> Segmenter:
    segmenter = Segmenter(ChunkPolicy(10, 100, 100, 0.1))
    segmenter.append("Hi. ")
    return segmenter


def test_a_short_first_sentence_waits_for_the_next() -> None:
    segmenter = short_start()
    assert segmenter.take(first=True) is None
    assert segmenter.waiting
    segmenter.append("It is Ann. And Bob. ")
    assert text_of(segmenter.take(first=True)) == "Hi. It is Ann."
    assert not segmenter.waiting
    assert text_of(segmenter.take(first=False)) == "And Bob."


def test_a_short_first_sentence_is_taken_at_the_deadline() -> None:
    segmenter = short_start()
    assert text_of(segmenter.take(first=True, impatient=True)) == "Hi."
    assert not segmenter.waiting


def test_a_short_first_sentence_is_taken_with_a_flush() -> None:
    segmenter = short_start()
    segmenter.flush()
    assert text_of(segmenter.take(first=True)) == "Hi."


def test_a_short_first_sentence_is_taken_if_the_next_is_too_long_to_join() -> None:
    segmenter = short_start()
    segmenter.append("x" * 99 + ". ")
    assert text_of(segmenter.take(first=True)) == "Hi."


def test_a_short_later_sentence_does_not_wait() -> None:
    assert text_of(short_start().take(first=False)) == "Hi."


def test_an_incomplete_sentence_is_not_waiting() -> None:
    segmenter = Segmenter(ChunkPolicy(10, 100, 100, 0.1))
    segmenter.append("Hi")
    assert segmenter.take(first=True) is None
    assert not segmenter.waiting


def test_a_flush_ends_a_sentence_anywhere() -> None:
    segmenter = Segmenter(ChunkPolicy(1, 100, 100, 0.1))
    segmenter.append("Half a sen")
    segmenter.flush()
    segmenter.append("tence. Dr. ")
    segmenter.flush()
    assert [text_of(piece) for piece in pieces(segmenter)] == ["Half a sen", "tence. Dr."]


def test_taken_and_received_locate_flushes() -> None:
    segmenter = Segmenter(SINGLE)
    segmenter.append("One. Two \n ")
    segmenter.flush()
    flushed_at = segmenter.received
    segmenter.append("Three. ")
    assert text_of(segmenter.take(first=False)) == "One."
    assert segmenter.taken < flushed_at
    assert text_of(segmenter.take(first=False)) == "Two"
    assert segmenter.taken == flushed_at
    assert segmenter.received - segmenter.taken == len("Three. ")


@pytest.mark.parametrize(
    "unit",
    [
        ".", "a.b.c.", "A.B.C.", "e.g. ", "Ab. ", "x", "x. ", "1. ", "😀", "\n", '"', " ", ". ", '."', "(",
        "(a", "(a. ", "!a", "?A ", "[S1]", "[S1]. ", 'Mr. "Ab ', "你好。", "a\u0301", "👩\u200d", "a\n",
        "a@b.c ", "U.S. Ab", '"J. ',
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [1, 8192])
def test_work_per_character_is_bounded(unit: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    segment = sentencex.segment

    def counting(language: str, text: str) -> list[str]:
        asked.append(len(text))
        return list(segment(language, text))

    monkeypatch.setattr(sentencex, "segment", counting)
    text = (unit * 8192)[:8192]
    segmenter = Segmenter(ChunkPolicy(20, 200, 400, 0.1))
    for at in range(0, len(text), step):
        segmenter.append(text[at : at + step])
    segmenter.flush()
    pieces(segmenter)
    assert len(asked) <= 8192
    assert max(asked, default=0) <= CONTEXT + 20
    assert sum(asked) <= 16 * 8192
