"""Japanese is read in kana, with a mark for each word as it is written."""

from __future__ import annotations

import pytest
from helpers.espeak import Speaker, audio_of, check_order, marks_of

from streaming_server.engines.espeak import japanese
from streaming_server.engines.espeak.japanese import JapaneseReader
from streaming_server.engines.espeak.spelled_text import SpelledText
from streaming_server.types import Failed, Pronounced


def read(text: str) -> str:
    return SpelledText(text, [], JapaneseReader().readings(text)).spoken


def words(speaker: Speaker, text: str) -> list[str]:
    events = speaker.say(text, language="ja")
    check_order(text, events)
    return [text[mark.start : mark.end] for mark in marks_of(events)]


@pytest.mark.parametrize(
    ("text", "kana"),
    [
        ("今日は東京へ行きます。", " キョウワ トウキョウエ イキマス。"),
        ("私は日本語を勉強しています。", " ワタクシワ ニッポンゴオ ベンキョウシテイマス。"),
        ("iPhoneで写真を撮る", " iPhoneデ シャシンオ トル"),
        ("2024年11月5日に会いましょう！", " 2024ネン11ガツイツカニ アイマショウ！"),
        ("お寿司を3つください。", " オスシオ ミッツ クダサイ。"),
        ("「元気？」と聞いた。", "「 ゲンキ？」 ト キイタ。"),
        ("こんにちは、ラーメン", " コンニチハ、 ラーメン"),
        ("。", "。"),
    ],
)
def test_words_are_read_in_kana(text: str, kana: str) -> None:
    pytest.importorskip("sudachipy")
    assert read(text) == kana


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今日は東京へ行きます。", ["今日は", "東京へ", "行きます"]),
        ("「元気？」と聞いた。", ["元気", "と", "聞いた"]),
        ("2024年に会いましょう！", ["2024年に", "会いましょう"]),
        ("東京、ラーメン。", ["東京", "ラーメン"]),
    ],
)
def test_every_word_has_one_mark(speaker: Speaker, text: str, expected: list[str]) -> None:
    pytest.importorskip("sudachipy")
    assert words(speaker, text) == expected


def test_kanji_sound_like_their_reading(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sudachipy")
    kanji = speaker.pcm("今日は東京へ行きます。", language="ja")
    leave_out(speaker, monkeypatch, "sudachipy")
    assert kanji == speaker.pcm("きょうわ とうきょうえ いきます。", language="ja")


def test_a_pronunciation_counts_before_the_dictionary() -> None:
    pytest.importorskip("sudachipy")
    readings = JapaneseReader().readings("東京へ行く", (Pronounced(0, 2, "kʲoːto"),))
    assert [(one.start, one.end) for one in readings] == [(3, 5)]


def leave_out(speaker: Speaker, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Let the engine read Japanese as if a package were not installed."""
    find_spec = japanese.find_spec
    monkeypatch.setattr(japanese, "find_spec", lambda name: None if name == package else find_spec(name))
    monkeypatch.setattr(speaker.engine, "japanese", JapaneseReader())


@pytest.mark.parametrize("package", ["sudachipy", "sudachidict_small"])
def test_without_the_dictionary_only_kana_are_spoken(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    leave_out(speaker, monkeypatch, package)
    assert read("東京へ行きます。") == " へ きます。"
    spoken = audio_of(speaker.say("東京へ行きます。", language="ja"))
    assert spoken == speaker.pcm("へ きます。", language="ja")
    (event,) = speaker.say("東京。", language="ja")
    assert isinstance(event, Failed)
    assert (event.code, event.retryable) == ("unsupported_language", False)
