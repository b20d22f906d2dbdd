"""Spoken text does not depend on how the written text is split."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from helpers.spoken_text import items_of, joined, said
from helpers.yardstick import yardstick_s
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.errors import BadValue
from streaming_server.text.cursor import LOOK_AHEAD
from streaming_server.text.items import Item, Pause, Said, SpeakerChange
from streaming_server.text.pronunciations import Pronunciation, Pronunciations
from streaming_server.text.spoken import SpokenText
from streaming_server.text.style import SpeakingStyle

CONSTRUCTS = (
    "# Title\n", "## ", "**bold**", "**", "*", "__x__", "_it_", "~~gone~~", "***x***", "un**believ**able",
    "- item\n", "* item\n", "1. item\n", "- [ ] task\n", "> quote\n", "---\n", "===\n", "\n", "\n\n", "\r\n",
    "| a | b |\n", "|---|:-:|\n", "|", "`code_1`", "``a`b``", "`", "```py\nx = 1\n```\n", "```", "~~~\n",
    "\n```sh\n", "\n```\n",
    "[link](http://a.b/c)", "[**b**](x)", "![alt](i.png)", "[![i](a)](b)", "[", "](", "[1]", "[^1]", "[a][b]",
    "2*3*4", "C#", "snake_case", "#1", "a_b", "5 * 3", "\\*", "\\", "a < b", "x<y", "vector<int>", "<3",
    "<speak>", "</speak>", '<break time="1.5s"/>', '<break strength="weak"/>', "<break/>", "<p>", "</s>",
    '<sub alias="World Wide Web">WWW</sub>', '<say-as interpret-as="characters">ab1</say-as>',
    "<spell>abc</spell>", '<phoneme alphabet="ipa" ph="təˈmɑːtoʊ">tomato</phoneme>', "<em>x</em>",
    '<prosody rate="fast">', "</prosody>", "<!-- no -->", "<https://a.de/b>", "<", ">", '<sub alias="x',
    "[pause 1.5s]", "[pause]", "[S1]", "[S2]", "[s2", "&amp;", "&lt;b&gt;", "AT&T", "&", "(laughs)", "(la",
    "<prosody rate='slow' pitch='+2st'>", "<emphasis>so</emphasis>", '<speed ratio="1.5"/>',
    "<![CDATA[a < b]]>", '<img alt="A cat" src="c.png">', "mc<sup>2</sup>", "## About C# ##\n", "line\\\n",
    '\n[1]: https://a.b/c "T"\n', "\n[^1]: Note\n", "\n> [!NOTE]\n", ":tada:", "::x::", "| ✅ | ❌ |\n",
    "$x^2$",
    "$E = mc^2$", r"\(a_1 \times b\)", r"\[\frac{a}{b}\]", "$$x$$", "$45 (not $54)", "$AAPL", "★★☆",
    "😀", "👩‍👩‍👧", "👍🏽", "🇩🇪", "1️⃣", "❤️", "©️", "\u200b", "\u00ad", "\ufeff", "\u202e",
    "नमस्\u200dते", "می\u200cخواهم",
    "$3.50", "$1.5 million", "-$5", "5 €", "USD 20", "99¢", "March 5, 2024", "5th of May", "2024-03-15",
    "3/15/2024", "3:30 p.m.", "5 p.m.", "9am-5pm", "15:00", "1990s", "Jan. 5", "555-123-4567",
    "(555) 123-4567",
    "+49 30 123456", "1/2", "2 1/2", "3½", "5 km", "100 km/h", "20°C", "5%", "6 ft.", "v1.2.3", "Python 3.11",
    "1st", "1,234", "007", "GPT-4", "2+2=4", "-5", "10-20", "https://www.a.com/b?c", "me@a.com",
    "README.md",
    "1 000 000", "1'000", ".5", "10⁶", "x²", "9.8 m/s²", "CO₂", "√2", "5x", "4x4", "1080p", "2.3B", "0xFF",
    "#FF5733", "#MeToo", "@user", "--force", "401(k)", "2-for-1", "5-3=2", "a <= b", "2024-03-15T14:30:00Z",
    "10:30-11:45", "Jan-Mar", "Mon, Mar 4", "2023/24", "90s", "the 90s", "1h 30m", "5 ft 10 in", "€5,50",
    "NZ$4", "100 kr", "$5-$10", "5%-10%", "½ lb", "/etc/nginx.conf", "~/.bashrc", "C:\\a\\b.txt",
    "src/app.tsx",
    "localhost:3000", "git@a.com:b/c.git", "1-800-FLOWERS", "4111 1111 1111 1111", "code is 4829", "911",
    "GPT-3.5-turbo", "HTTP/2", "and/or", "Ctrl+C", "Settings > Privacy", "Rocky III", "XIX century", "π ≈ 3",
    "min. 3", "N. 5th", "'24", "© 2024", "§§ 3",
    "Rs. 500", "in 1066, ", "the last 90s", "on 3/15 ", "9.30am", "10:30Z", "1:10 ratio", "John 3:16",
    "0800 123 456",
    "(0)20 7946 0958", "4155552671", "Dial 999 or 112", "NY 10001", "3/20", "2/3rds", "4/5 stars",
    "rated 1/10",
    "1,5 kg", "10 / 5", "6 / 2 = 3", "3'' pipe", '27" screen', "10 x 20 cm", "100Mbit/s", "2 tsp. of",
    "a 5 lb bag",
    "v2.0-rc.1", "2x is 10", "3T MRI", "10 200 300", "1 234 567", "a->b", "n=30", "2^n", "3x² − 5x", "= 75%",
    "00:1A:2B:3C:4D:5E", "fe80::1", "3f2a1bc", "@a_b", " | ", "pg. 3", "Start IV drip", "vs",
    "Downing St, ", "Elm Dr. ",
    "[laughs]", "*sighs deeply*", "(whispers)", "*laughs", "Dr. Smith", "Main St.", "St. John", "U.S. Army",
    "U.S.", "e.g.", "etc.", "No. 5", "J. R. R. Tolkien",
    "Ph.D.", "World War II", "Henry VIII", "w/", "R&D", "→", "Hello", "there.", "The", "end!", "naïve",
    "価格",
    "你好。", "Привет 5", "nginx", "C++", "SQL's", "a" * 210,
)  # fmt: skip

LIST = Pronunciations({"en": {"nginx": Pronunciation("engine x"), "C++": Pronunciation("see plus plus")}})


@st.composite
def texts(draw: st.DrawFn) -> str:
    words = st.one_of(st.sampled_from(CONSTRUCTS), st.text(max_size=6))
    gaps = st.sampled_from(["", "", " ", " ", " ", "\n"])
    parts = draw(st.lists(st.tuples(words, gaps), max_size=12))
    return "".join(word + gap for word, gap in parts).replace("\0", "")


styles = st.fixed_dictionaries(
    {},
    optional={
        "language": st.just("de"),
        "speak_code": st.just(True),
        "name_emoji": st.just(True),
        "ipa": st.just(True),
        "pronunciations": st.just(lambda: LIST),
    },
)


@given(texts(), styles)
def test_one_character_at_a_time_changes_nothing(text: str, style: dict[str, object]) -> None:
    assert items_of(text, **style) == items_of([text], **style)


@given(texts(), styles, st.lists(st.integers(0, 200), max_size=8))
def test_cuts_between_deltas_change_nothing(text: str, style: dict[str, object], cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    deltas = [text[a:b] for a, b in pairwise(places)]
    assert items_of(deltas, **style) == items_of([text], **style)


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_each_construct_may_be_cut_anywhere(construct: str) -> None:
    text = f"Say {construct} now. {construct}\n{construct}"
    whole = items_of([text], pronunciations=lambda: LIST)
    for cut in range(len(text)):
        assert items_of([text[:cut], text[cut:]], pronunciations=lambda: LIST) == whole, text[:cut]


@given(texts(), st.integers(0, 60))
def test_a_flush_separates_the_text_before_and_after(text: str, place: int) -> None:
    """The spoken text of each half maps to that half only."""
    spoken = SpokenText(SpeakingStyle())
    place = min(place, len(text))
    first = [*spoken.push(text[:place]), *spoken.flush()]
    assert spoken.flush() == []
    second = [*spoken.push(text[place:]), *spoken.flush()]
    assert all(end_of(item) <= place for item in first)
    assert all(start_of(item) >= place for item in second)
    assert spoken.received == len(text)


@given(texts(), styles)
def test_offsets_ascend_and_literal_text_equals_the_source(text: str, style: dict[str, object]) -> None:
    at = 0
    for item in items_of([text], **style):
        assert start_of(item) >= at
        at = end_of(item)
        if isinstance(item, Said) and item.literal:
            assert item.text == text[item.start : item.end]
    assert at <= len(text)


def start_of(item: Item) -> int:
    return item.start if isinstance(item, Said) else item.at


def end_of(item: Item) -> int:
    return item.end if isinstance(item, Said) else item.at


@given(texts())
def test_disabled_processing_passes_text_unchanged(text: str) -> None:
    assert said(text, enabled=False) == text


def test_an_amount_maps_to_its_source() -> None:
    items = items_of(["It is $3.50 now."])
    assert items[1] == Said("three dollars and fifty cents", 6, 11, literal=False, settled=True)


def test_pauses_and_speakers_map_to_their_source() -> None:
    items = items_of(['[S1] Hi <break time="2s"/> [S2] yo'])
    assert SpeakerChange("S1", 0) in items
    assert Pause(2.0, 8) in items
    assert SpeakerChange("S2", 27) in items


@pytest.mark.parametrize(
    "opening",
    [
        "[",
        "[a](",
        "![a](",
        "$$",
        "\\[",
        "<sub alias='x'>",
        "<break ",
        "`a ",
        "<!--",
        "&a",
        "(laug",
        "[pau",
        "<a b=",
    ],
)
def test_a_construct_that_never_closes_is_spoken_as_written(opening: str) -> None:
    spoken = SpokenText(SpeakingStyle())
    text = "Now " + opening + "word " * LOOK_AHEAD
    heard = "".join(item.text for item in spoken.push(text) if isinstance(item, Said))
    assert len(heard) > len(text) - LOOK_AHEAD - 20
    assert "word word" in heard[: len(opening) + 20]


@pytest.mark.parametrize("opening", ["[", "![a", "`", "``", "==a", "$$", "<sub>", "<spell>", "<say-as>"])
def test_prose_after_a_construct_that_never_closes_waits_little(opening: str) -> None:
    spoken = SpokenText(SpeakingStyle())
    heard = "".join(
        item.text for item in spoken.push(opening + "word " * 82 + "a\n") if isinstance(item, Said)
    )
    assert "word word" in heard


def test_text_after_a_flush_within_a_word_may_be_cut_anywhere() -> None:
    whole, pieces = SpokenText(SpeakingStyle()), SpokenText(SpeakingStyle())
    for spoken in (whole, pieces):
        spoken.push("rat")
        spoken.flush()
    text = "io='1.5'/>on 5 km"
    items = [item for character in text for item in pieces.push(character)] + pieces.flush()
    assert joined(items) == joined([*whole.push(text), *whole.flush()])


def test_a_flush_decides_at_once() -> None:
    for text in ["a [link", "a <break", "5", "Dr.", "$3", "a `code", "**", "\U0001f600", "- "]:
        spoken = SpokenText(SpeakingStyle())
        spoken.push(text)
        spoken.flush()
        assert spoken.flush() == []


@pytest.mark.parametrize(
    "text",
    [
        "Hello there. ",
        "It costs $3.50. ",
        "Is it **you**? ",
        "He saw 12 of them.\n",
        "We meet at 5 am. ",
        "It costs 5$. ",
    ],
)
def test_white_space_completes_a_sentence(text: str) -> None:
    spoken = SpokenText(SpeakingStyle())
    heard = "".join(item.text for item in spoken.push(text) if isinstance(item, Said))
    assert heard == said(text)


def test_other_languages_keep_figures_and_lose_markup() -> None:
    assert said("Am **3. Januar** kostet es 5 €, z. B. <break time='1s'/>hier.", language="de-DE") == (
        "Am 3. Januar kostet es 5 €, z. B. <1s>hier."
    )
    assert said("1. Januar", language="de") == "1. Januar"


def test_figures_after_another_script_are_left_to_the_engine() -> None:
    assert said("в 5 часов") == "в 5 часов"


def test_surrogate_pairs_may_be_split() -> None:
    assert items_of(["a\ud83d", "\ude00b"]) == items_of(["a\U0001f600b"])
    assert items_of(["a\ud83d", "\ude00b"])[-1] == Said("b", 2, 3)


@pytest.mark.parametrize("delta", ["\ude00", "a\ud83db", "you\ude00", "\ud83d\ud83d\ude00", "a\0b"])
def test_rejects_invalid_unicode(delta: str) -> None:
    spoken = SpokenText(SpeakingStyle())
    with pytest.raises(BadValue):
        spoken.push(delta)
    assert spoken.push("Hi there ") == [Said("Hi there ", 0, 9)]


def test_rejects_a_lone_surrogate_at_the_end() -> None:
    spoken = SpokenText(SpeakingStyle())
    spoken.push("Hi \ud83d")
    with pytest.raises(BadValue):
        spoken.flush()


UNITS = (
    "[", "[a", "<", "<a ", '<sub alias="x">', '<sub alias="', "`", "`a", "``a`", "*", "*a", "**a ", "_",
    "~~a", "\n```a\n", "\n````\n```a\n", "\n~~~\n```\n", "```a\nb\n",
    "(", "(laughs", "&", "&a", "\\", "|", "\n|", "\n```", "\n- ", "\n1. ", "\n---", "\n- - ", "$", "$1 ",
    "Dr. ",
    "a.b.", "a.b. ", "1-", "1,", "1/2 ", "1:23 ", "😀", "x@y.", "http://",
    "March 1, ", "(5", "(a1 ", "/", "/1",
    "![a](", "<!--", "a", '"', "[a](", "U.S. ", "+1 ", "1.", "5 km ", "a1-", '<a b="c" ', "= ", "1*", "1+1=",
    "1 ", "é", "字1", " ", "-", "1\u00a0",
)  # fmt: skip


PROSE = (
    (
        "Language models write **text** like this, with `code` and a [link](https://example.com/page).\n\n"
        "- It costs $3.50 at 3:30 p.m. on March 5, 2024.\n- Dr. Smith of the U.S. Army agrees, e.g. often.\n"
    )
    * 90
)[:16384]


@pytest.mark.parametrize("unit", UNITS)
def test_time_is_linear_in_the_length_of_the_text(unit: str) -> None:
    """Hostile text costs at most ten times as much as prose; in pieces of one character, five times."""
    text = (unit * len(PROSE))[: len(PROSE)]
    assert any(seconds([text]) < 10 * seconds([PROSE]) for _ in range(3))
    assert any(seconds(text[:4096]) < 5 * seconds(PROSE[:4096]) for _ in range(3))


def seconds(deltas: object) -> float:
    spoken = SpokenText(SpeakingStyle())
    began = time.thread_time()
    for delta in deltas:  # type: ignore[attr-defined]
        spoken.push(delta)
    spoken.flush()
    return time.thread_time() - began


def test_prose_is_fast() -> None:
    assert min(seconds([PROSE[:2048]]) for _ in range(5)) < 5 * yardstick_s()


def test_joined_ignores_where_literal_text_was_cut() -> None:
    assert joined([Said("a", 0, 1), Said("b", 1, 2)]) == [Said("ab", 0, 2)]
    assert len(joined([Said("a", 0, 1), Said("b", 2, 3)])) == 2
