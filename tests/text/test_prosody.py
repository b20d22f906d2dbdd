"""`<prosody>`, `<emphasis>` and `<speed>` change speed and pitch, word by word."""

from __future__ import annotations

import pytest

from streaming_server.text.narration import Narration
from streaming_server.text.passage import Passage
from streaming_server.text.prosody import DEEPEST, NEUTRAL, OpenProsody, Prosody, ProsodyChange, prosody_of
from streaming_server.text.style import SpeakingStyle
from streaming_server.types import ChunkPolicy

POLICY = ChunkPolicy(min_chars=1, best_chars=1, max_chars=400, patience_s=0.1)


def heard(text: str, *, pitch: bool = True) -> list[tuple[str, float, float]]:
    """Return what is spoken, with its speed and pitch; the same for every cut of the text."""
    spoken = [passages_of([text], pitch), passages_of(list(text), pitch)]
    assert spoken[0] == spoken[1]
    return spoken[0]


def passages_of(deltas: list[str], pitch: bool) -> list[tuple[str, float, float]]:
    return [
        (item.text, round(item.prosody.speed, 3), round(item.prosody.pitch, 3))
        for item in narrated(deltas, pitch=pitch)
    ]


def narrated(deltas: list[str], *, pitch: bool = True, inline: bool = False) -> list[Passage]:
    narration = Narration(POLICY, SpeakingStyle(pitch=pitch), inline_prosody=inline)
    for delta in deltas:
        narration.append(delta)
    narration.finish()
    taken = []
    while (item := narration.take(first=False)) is not None:
        assert isinstance(item, Passage)
        taken.append(item)
    return taken


@pytest.mark.parametrize(
    ("attributes", "speed", "pitch"),
    [
        ({"rate": "x-slow"}, 0.5, 1.0),
        ({"rate": "FAST"}, 1.3, 1.0),
        ({"rate": "80%"}, 0.8, 1.0),
        ({"rate": "+20%"}, 1.2, 1.0),
        ({"rate": "-20%"}, 0.8, 1.0),
        ({"rate": "1.5"}, 1.5, 1.0),
        ({"rate": "900%"}, 4.0, 1.0),
        ({"rate": "-100%"}, 0.25, 1.0),
        ({"rate": "0%", "pitch": "0%"}, 1.0, 1.0),
        ({"rate": "180"}, 1.0, 1.0),
        ({"rate": "quickly"}, 1.0, 1.0),
        ({"pitch": "x-high"}, 1.0, 1.3),
        ({"pitch": "+12st"}, 1.0, 2.0),
        ({"pitch": "-12.0 ST"}, 1.0, 0.5),
        ({"pitch": "+10%", "rate": "medium"}, 1.0, 1.1),
        ({"pitch": "+18Hz"}, 1.0, 1.1),
        ({"pitch": "120Hz"}, 1.0, 1.0),
        ({"pitch": "9999st"}, 1.0, 2.0),
        ({}, 1.0, 1.0),
    ],
    ids=str,
)
def test_attributes(attributes: dict[str, str], speed: float, pitch: float) -> None:
    assert prosody_of("prosody", attributes) == Prosody(pytest.approx(speed), pytest.approx(pitch))


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("<prosody rate='slow'>All of it.</prosody>", [("All of it.", 0.75, 1.0)]),
        (
            'One <PROSODY RATE="fast" PITCH="high">two</PROSODY>, three.',
            [("One", 1.0, 1.0), ("two,", 1.3, 1.15), ("three.", 1.0, 1.0)],
        ),
        (
            "<prosody rate='50%'>a <prosody rate='50%'>b</prosody> c</prosody> d",
            [("a", 0.5, 1.0), ("b", 0.25, 1.0), ("c", 0.5, 1.0), ("d", 1.0, 1.0)],
        ),
        (
            "It is <emphasis>very</emphasis> good.",
            [("It is", 1.0, 1.0), ("very", 0.92, 1.05), ("good.", 1.0, 1.0)],
        ),
        ("<emphasis level='none'>No</emphasis> change.", [("No change.", 1.0, 1.0)]),
        ("un<emphasis>believ</emphasis>able!", [("unbelievable!", 1.0, 1.0)]),
        ("It's <emphasis></emphasis>fine.", [("It's fine.", 1.0, 1.0)]),
        ("<prosody rate='fast'/>Plain.", [("Plain.", 1.0, 1.0)]),
        ("</prosody>Plain.</emphasis>", [("Plain.", 1.0, 1.0)]),
        ("<prosody rate='fast'>Never closed.", [("Never closed.", 1.3, 1.0)]),
        (
            "<speak><prosody rate='fast'>One.</speak><speak>Two.</speak>",
            [("One.", 1.3, 1.0), ("Two.", 1.0, 1.0)],
        ),
        ('<speed ratio="1.5"/>One. <speed ratio="0.8"/>Two.', [("One.", 1.5, 1.0), ("Two.", 0.8, 1.0)]),
        ("<prosody rate='slow'>慢</prosody>快。", [("慢", 0.75, 1.0), ("快。", 1.0, 1.0)]),
        ("[<prosody rate='slow'>a</prosody> b](http://x.y)", [("a", 0.75, 1.0), ("b", 1.0, 1.0)]),
    ],
)
def test_prosody(text: str, spoken: list[tuple[str, float, float]]) -> None:
    assert heard(text) == spoken


def test_elements_that_are_too_deep_close_only_themselves() -> None:
    inner = "<prosody>" * DEEPEST + "a" + "</prosody>" * DEEPEST
    spoken = heard(f"<prosody rate='slow'>{inner} b</prosody> c")
    assert spoken == [("a b", 0.75, 1.0), ("c", 1.0, 1.0)]


def test_elements_beyond_any_depth_are_only_counted() -> None:
    elements = OpenProsody()
    elements.change(ProsodyChange("prosody", Prosody(0.5), 0))
    for _ in range(5000):
        elements.change(ProsodyChange("prosody", Prosody(0.9), 0))
    for _ in range(5000):
        elements.change(ProsodyChange("prosody", None, 0))
    assert elements.current == Prosody(0.5)
    elements.change(ProsodyChange("prosody", None, 0))
    assert elements.current == NEUTRAL


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("It costs <emphasis>5</emphasis> km.", [("It costs", 1.0), ("five kilometers.", 0.92)]),
        ("<prosody rate='slow'>$5</prosody> million", [("five million dollars", 0.75)]),
        ("$<prosody rate='slow'>5</prosody> million it is", [("five million dollars", 0.75), ("it is", 1.0)]),
        ("On March <emphasis>5</emphasis>, 2024.", [("On", 1.0), ("March fifth, twenty twenty-four.", 0.92)]),
        ("World War <emphasis>II</emphasis> ends", [("World War two", 0.92), ("ends", 1.0)]),
        (
            "The PIN is <prosody rate='slow'>4829</prosody> now",
            [("The PIN is", 1.0), ("four eight two nine", 0.75), ("now", 1.0)],
        ),
        ("5 <speed ratio='1.5'/>km. <speed ratio='1'/>So.", [("five kilometers.", 1.5), ("So.", 1.0)]),
    ],
)
def test_prosody_does_not_change_how_a_figure_is_read(text: str, spoken: list[tuple[str, float]]) -> None:
    assert [(words, speed) for words, speed, _ in heard(text)] == spoken


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "It is <emphasis>very</emphasis> good. Yes.",
            [("It is very good.", {"very": (0.92, 1.05)}), ("Yes.", {})],
        ),
        (
            'One <prosody rate="fast" pitch="high">two</prosody>, three.',
            [("One two, three.", {"two,": (1.3, 1.15)})],
        ),
        (
            "<prosody rate='50%'>a <prosody rate='50%'>b</prosody> c</prosody> d",
            [("a b c d", {"a ": (0.5, 1.0), "b": (0.25, 1.0), " c": (0.5, 1.0)})],
        ),
        ("<prosody rate='slow'>慢</prosody>快。", [("慢快。", {"慢": (0.75, 1.0)})]),
        ("<emphasis>One.</emphasis>Two.", [("One.", {"": (0.92, 1.05)}), ("Two.", {})]),
        ("Ask Dr. <emphasis>Smith</emphasis>!", [("Ask Doctor Smith!", {"Smith!": (0.92, 1.05)})]),
        ("So <emphasis>On</emphasis>", [("So On", {"On": (0.92, 1.05)})]),
    ],
)
def test_an_engine_that_changes_prosody_gets_whole_sentences(
    text: str, sentences: list[tuple[str, dict[str, tuple[float, float]]]]
) -> None:
    """The prosody of a whole sentence is the passage's own."""
    for deltas in ([text], list(text)):
        found = []
        for one in narrated(deltas, inline=True):
            spans = {one.text[span.start : span.end]: (span.speed, span.pitch) for span in one.spans}
            own = {} if one.prosody == NEUTRAL else {"": (one.prosody.speed, one.prosody.pitch)}
            found.append((one.text, {**own, **spans}))
        assert found == sentences


def test_an_engine_without_pitch_takes_rates_only() -> None:
    text = "<prosody pitch='high' rate='slow'>a</prosody> <emphasis>b</emphasis> c"
    assert heard(text, pitch=False) == [("a", 0.75, 1.0), ("b c", 1.0, 1.0)]


def test_deep_nesting_is_bounded() -> None:
    text = "<prosody rate='99%'>" * 1000 + "deep " + "</prosody>" * 1000 + "out"
    assert heard(text) == [("deep", round(0.99**DEEPEST, 3), 1.0), ("out", 1.0, 1.0)]
