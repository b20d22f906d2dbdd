"""Speech markup is applied or removed, never spoken."""

from __future__ import annotations

import pytest
from helpers.spoken_text import items_of, said

from streaming_server.text.items import LONGEST_PAUSE_S, Pause, Said


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("<speak>One</speak>", "One"),
        ('One.<break time="1.5s"/>Two.', "One.<1.5s>Two."),
        ("One.<break time='500ms' />Two.", "One.<0.5s>Two."),
        ("a <break time=1s> b", "a <1s> b"),
        ('a <break strength="weak"/> b', "a <0.5s> b"),
        ("a <BREAK/> b", "a <0.75s> b"),
        ('a <break time="soon"/> b', "a <0.75s> b"),
        ("a [pause 1.5s] b [PAUSE 200ms] c [pause]", "a <1.5s> b <0.2s> c <0.75s>"),
        ('<sub alias="World Wide Web">WWW</sub>.', "World Wide Web."),
        ('<sub alias="x">never closed', "never closed"),
        ('<say-as interpret-as="characters">ab c</say-as>', "A-B, C"),
        ('<say-as interpret-as="nonsense">ab</say-as>', "ab"),
        ("<spell>ok</spell>", "O K"),
        ('<phoneme alphabet="ipa" ph="x">tomato</phoneme>', "tomato"),
        (
            '<prosody rate="slow" pitch="+2st">slow</prosody> <emphasis level="strong">it</emphasis>',
            "slow it",
        ),
        ("<p><s>One.</s><s>Two.</s></p>", "\n\nOne.\n\nTwo.\n\n"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<unknown a='1'>text</unknown> <b>x</b>", "text x"),
        ("<!-- a <b> note -->text<?xml version='1.0'?>", "text"),
        ("<![CDATA[a < b & *c*]]>", "a < b & *c*"),
        ('<img src="a.png" alt="A cat"/>', "A cat"),
        ("mc<sup>2</sup> 1<sup>st</sup>", "mc² 1st"),
        ("10<sup>-6</sup> H<sub>2</sub>O x<sub>n</sub>", "10⁻⁶ H₂O xn"),
        ("a < b, x<y and z>w, <3, vector<int> x", "a < b, x<y and z>w, <3, vector<int> x"),
        ("a <break", "a <break"),
        ("fish &amp; chips &lt;b&gt; &#65;&nbsp;&nosuch; AT&T", "fish & chips <b> A &nosuch; AT&T"),
        ("<https://a.b/c> <me@a.de>", "https://a.b/c me@a.de"),
        ("[S1] Hi. [s2] Ho.", "<S1> Hi. <S2> Ho."),
        ("Funny (laughs) (Laughs) (clears throat) (really)", "Funny    (really)"),
    ],
)
def test_markup(written: str, spoken: str) -> None:
    assert said(written, language="fr") == spoken


def test_say_as_controls_how_figures_are_read() -> None:
    assert said('<say-as interpret-as="ordinal">3</say-as>') == "third"
    assert (
        said('<say-as interpret-as="cardinal">1984</say-as>') == "one thousand nine hundred and eighty-four"
    )
    assert said('<say-as interpret-as="digits">1984</say-as>') == "one nine eight four"
    assert said('<say-as interpret-as="telephone">555 0199</say-as>') == "five five five, zero one nine nine"
    assert said('<say-as interpret-as="date">2024-03-15</say-as>') == "March fifteenth, twenty twenty-four"
    assert said('<say-as interpret-as="spell-out">A1</say-as>') == "A-one"
    assert said('<say-as interpret-as="fraction">5+1/2</say-as>') == "five and a half"
    assert said('<say-as interpret-as="time">1\'21"</say-as>') == "one minute twenty-one seconds"
    assert said('<say-as interpret-as="telephone">+12025551212</say-as>').startswith("plus ")


def test_a_long_ordinal_keeps_all_its_digits() -> None:
    assert said('<say-as interpret-as="ordinal">1,000,000,000,000,000,001st</say-as>') == (
        "one" + " zero" * 17 + " first"
    )
    spoken = said(f'<say-as interpret-as="ordinal">{"1" * 150}th</say-as>')
    assert spoken.split() == ["one"] * 149 + ["first"]


@pytest.mark.parametrize(
    ("form", "text", "spoken"),
    [
        ("mdy", "3/4/2024", "March fourth, twenty twenty-four"),
        ("dmy", "3/4/2024", "April third, twenty twenty-four"),
        ("yyyymmdd", "20240304", "March fourth, twenty twenty-four"),
        ("md", "12/25", "December twenty-fifth"),
        ("my", "3/2024", "March twenty twenty-four"),
        ("dmy", "31/31/2024", "thirty-one/thirty-one/twenty twenty-four"),
        ("nonsense", "2024-03-04", "March fourth, twenty twenty-four"),
    ],
)
def test_the_order_of_a_date(form: str, text: str, spoken: str) -> None:
    assert said(f'<say-as interpret-as="date" format="{form}">{text}</say-as>') == spoken


def test_ipa_is_passed_to_engines_that_support_it() -> None:
    text = '<phoneme alphabet="ipa" ph="təˈmɑːtoʊ">tomato</phoneme>'
    assert items_of([text], ipa=True) == [Said("tomato", 39, 45, False, True, ipa="təˈmɑːtoʊ")]
    assert said(text, ipa=False) == "tomato"
    assert said(text.replace("ipa", "x-sampa"), ipa=True) == "tomato"


def test_a_pause_is_bounded() -> None:
    assert items_of(['<break time="1h"/><break time="99999s"/>'])[-1] == Pause(LONGEST_PAUSE_S, 18)


def test_an_alias_stands_for_the_text_in_the_element() -> None:
    assert items_of(['<sub alias="A B">WWW</sub>']) == [Said("A B", 17, 20, False, True)]


def test_tags_and_sounds_are_passed_to_engines_that_support_them() -> None:
    text = "[S1] Funny (laughs)."
    assert said(text, speaker_tags=True, nonverbals=True) == text


def test_figures_after_an_entity_are_read() -> None:
    assert said("fish &amp; chips") == "fish and chips"
