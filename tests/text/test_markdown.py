"""Markdown, as written by language models, is removed."""

from __future__ import annotations

import pytest
from helpers.spoken_text import items_of, said

from streaming_server.text.fences import CLOSES_WITHIN
from streaming_server.text.items import Item, Said
from streaming_server.text.spoken import SpokenText
from streaming_server.text.style import SpeakingStyle


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("# Title\nText", "Title\nText"),
        ("###### Title\n", "Title\n"),
        ("#hashtag and C#", "#hashtag and C#"),
        ("## Title ##\n# About C#\n", "Title \nAbout C#\n"),
        ("one\\\ntwo", "one\ntwo"),
        ('[a][1]\n\n[1]: https://a.b/c "T"\n[Note]: this stays', "a\n\n\n[Note]: this stays"),
        ("[Ann]: Yes.\n[Ben]: OK...", "[Ann]: Yes.\n[Ben]: OK..."),
        ("[^1]: The note.", "The note."),
        ('<prosody rate="slow"># Title</prosody>\n<emphasis>- one</emphasis>', "Title\none"),
        ("> [!TIP]\n> Do it.", "Tip\nDo it."),
        ("Great :tada: a::b:: 10:30:", "Great  a::b:: 10:30:"),
        ("Rated ★★★☆☆ ✓", "Rated  "),
        ("**Bold** and __strong__ and *it* and _it_", "Bold and strong and it and it"),
        ("***all***, ~~gone~~.", "all, gone."),
        ("==Bright== and ==*very* bright==.", "Bright and very bright."),
        ("a == b, a==b==c, ==not closed", "a == b, a==b==c, ==not closed"),
        ("un**believ**able", "unbelievable"),
        ("**Note:** see", "Note: see"),
        ("**never closed", "never closed"),
        ("It ends here.** Next", "It ends here. Next"),
        ("snake_case a_b __init__", "snake_case a_b init"),
        ("f**** off", "f**** off"),
        ("price* here", "price* here"),
        ("- one\n- two\n", "one\ntwo\n"),
        ("* one\n+ two\n• three", "one\ntwo\nthree"),
        ("  - nested", "  nested"),
        ("- [ ] open\n- [x] done", "open\ndone"),
        ("> quoted\n> > twice", "quoted\ntwice"),
        (">no", ">no"),
        ("a\n---\nb\n***\nc\n=====\nd", "a\n\nb\n\nc\n\nd"),
        ("| Name | Age |\n|------|:---:|\n| Ann | |\n", " Name , Age \n\n Ann \n"),
        ("a | b", "a | b"),
        ('[text](https://a.b/c_(d) "T") now', "text now"),
        ("[**bold** text](x)", "bold text"),
        ("[text][ref] [S] [1]", "text [S] [1]"),
        ("a note[^1].", "a note."),
        ("![A cat](cat.png).", "A cat."),
        ("[![alt](a.png)](b)", "alt"),
        ("wow![x", "wow![x"),
        ("`my_var * 2` and ``a`b``", "my_var * 2 and a`b"),
        ("an ` alone", "an ` alone"),
        (r"\*not\* \_this\_ C:\new", "*not* _this_ C:\\new"),
        ("before\n```python\nx = **1**\n```\nafter", "before\n<0.5s>\nafter"),
        ("~~~\n```\nx\n~~~\nafter", "<0.5s>\nafter"),
        ("```\nnever closed **x**\nSo", "<0.5s>\nnever closed x\nSo"),
        ("> ```\n> x\n> ```\nafter", "<0.5s>\nafter"),
        ("- ```sh\n  x\n  ```\nafter", "<0.5s>\nafter"),
        ("```x = 1``` is code", "x = 1 is code"),
    ],
)
def test_markdown(written: str, spoken: str) -> None:
    assert said(written, language="fr") == spoken


def test_a_list_number_does_not_end_a_sentence() -> None:
    assert said("1. Wash\n2) Dry") == "one, Wash\ntwo, Dry"
    assert said("1. Januar", language="de") == "1. Januar"


@pytest.mark.parametrize("deltas", [[":tada:", "x"], [":tada:", ":"], [":tada:", " x"]], ids=str)
def test_what_follows_a_shortcode_decides(deltas: list[str]) -> None:
    assert items_of(deltas, language="fr") == items_of(["".join(deltas)], language="fr")


def test_code_can_be_spoken() -> None:
    assert said("```py\nx_1 = **y**\n```\nend", language="de", speak_code=True) == "\nx_1 = **y**\n\nend"


def unclosed(lines: int) -> str:
    return "Code:\n```py\nx = 1\n" + "More words.\n" * lines


def test_a_fence_that_never_closes_is_waited_for_within_bounds() -> None:
    spoken = SpokenText(SpeakingStyle())
    text = unclosed(CLOSES_WITHIN // 12 + 2)
    assert "More" not in heard(spoken.push(text[:CLOSES_WITHIN]))
    assert heard(spoken.push(text[CLOSES_WITHIN:])).startswith("\nx equals one\nMore words.")
    assert heard(spoken.push("And on. ")) == "And on. "


def test_a_block_that_is_too_long_ends_with_its_closing_fence() -> None:
    text = unclosed(CLOSES_WITHIN // 12 + 9) + "```\nAfter. ```a``` `b`\n```py\nskipped\n```\nEnd."
    assert said(text, language="fr").endswith("More words.\n\nAfter. a b\n<0.5s>\nEnd.")


def test_a_flush_speaks_a_block_that_has_not_closed() -> None:
    spoken = SpokenText(SpeakingStyle())
    spoken.push("```\nfirst\n")
    assert heard(spoken.flush()) == "\nfirst\n"
    assert heard(spoken.push("second\n```\nthird ")) == "second\n\nthird "


def test_a_flush_may_leave_a_block_open() -> None:
    spoken = SpokenText(SpeakingStyle())
    spoken.push("```\nfirst\n")
    assert heard(spoken.flush(close_blocks=False)) == ""
    assert heard(spoken.push("second\n```\nthird ")) == "\nthird "


def heard(items: list[Item]) -> str:
    return "".join(item.text for item in items if isinstance(item, Said))


@pytest.mark.parametrize("text", ["2*3*4", "5 * 3", "C#", "snake_case", "a_b", "#1", "2**8"])
def test_text_that_only_resembles_markdown_is_kept(text: str) -> None:
    assert said(text, language="de") == text


def test_a_link_maps_to_its_text() -> None:
    assert items_of(["See [this](http://a.b)."]) == [
        Said("See ", 0, 4),
        Said("this", 5, 9),
        Said(".", 22, 23),
    ]


def test_emphasis_does_not_wait_for_its_end() -> None:
    spoken = SpokenText(SpeakingStyle())
    assert heard(spoken.push("**Hello there, ")) == "Hello there, "
