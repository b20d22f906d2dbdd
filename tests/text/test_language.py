"""The script of a sentence tells its language."""

from __future__ import annotations

import pytest
from helpers.spoken_text import items_of, said

from streaming_server.text.language import LanguageDetector, foreign_spans, language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello there, how are you?", "en"),
        ("Grüße aus München, ça va?", "en"),
        ("12:30 — 😀!", "en"),
        ("你好，我们走吧！", "zh"),
        ("我用 Python 写 code。", "zh"),
        ("東京へ行きます。", "ja"),
        ("カタカナ", "ja"),
        ("안녕하세요, 만나서 반갑습니다.", "ko"),
        ("Привет, как дела?", "ru"),
        ("Привіт, як твої справи?", "uk"),
        ("Прывітанне, як справы ў цябе? Добра, ўсё.", "be"),
        ("Здраво, љубави", "sr"),
        ("مرحبا، كيف حالك؟", "ar"),
        ("سلام، چطور هستید؟", "fa"),
        ("آپ کیسے ہیں؟", "ur"),
        ("שלום, מה שלומך?", "he"),
        ("नमस्ते, आप कैसे हैं?", "hi"),
        ("Γεια σου, τι κάνεις;", "el"),
        ("สวัสดีครับ", "th"),
        ("வணக்கம்", "ta"),
        ("გამარჯობა", "ka"),
        ("Բարեւ Ձեզ", "hy"),
        ("ሰላም", "am"),
        ("আপনি কেমন আছেন?", "bn"),
        ("ਤੁਸੀਂ ਕਿਵੇਂ ਹੋ?", "pa"),
        ("તમે કેમ છો?", "gu"),
        ("ଆପଣ କେମିତି ଅଛନ୍ତି?", "or"),
        ("మీరు ఎలా ఉన్నారు?", "te"),
        ("ನೀವು ಹೇಗಿದ್ದೀರಿ?", "kn"),
        ("നിങ്ങൾക്ക് സുഖമാണോ?", "ml"),
        ("ඔබට කොහොමද?", "si"),
        ("ສະບາຍດີ", "lo"),
        ("နေကောင်းလား။", "my"),
        ("សួស្តី", "km"),
        ("Hello 你好 there, my old friend.", "en"),
        ("Он сказал ей: “Hello!”", "ru"),
        ("Привет, Microsoft Windows", "en"),
        ("My friend 王小明 said hello", "en"),
        ("iPhoneで写真を撮る", "ja"),
        ("나는 Python을 좋아해", "ko"),
        ("أحب Python كثيرا", "ar"),
        ("He wrote Здравствуйте, друзья.", "en"),
        ("The word is Здравствуйте.", "en"),
        ("Я купил iPhone.", "ru"),
        ("My word นี้ here", "en"),
        ("The Greek letter π and the word λόγος are known.", "en"),
    ],
)
def test_language_of_a_sentence(text: str, language: str) -> None:
    assert language_of(text, "en") == language


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("Привет, как дела?", "bg"),
        ("Привіт", "ru-RU"),
        ("東京", "ja"),
        ("Hello", "ja"),
        ("Bonjour à tous", "fr-CA"),
        ("", "de"),
    ],
)
def test_the_voices_own_language_comes_first_in_its_script(text: str, own: str) -> None:
    assert language_of(text, own) == own


@pytest.mark.parametrize(
    "text",
    [
        "5 мая мы едем.",
        "3月5日に会いましょう。",
        "12 ราย",
        "Мы едем 5 мая.",
        "1 2 3 4 5 6 мая",
        "1 2 3 4 5 6  мая",
    ],
)
def test_figures_of_other_scripts_stay_with_their_engine(text: str) -> None:
    assert said(text) == text
    for cut in range(len(text)):
        assert items_of([text[:cut], text[cut:]]) == items_of([text]), text[:cut]


def test_han_characters_behind_japanese_are_japanese() -> None:
    detector = LanguageDetector("en")
    sentences = ("東京都。", "Hello.", "これは本です。", "東京都。", "Привет.", "第一章", "你好，我们走吧！")
    languages = [detector.language_of(sentence) for sentence in sentences]
    assert languages == ["zh", "en", "ja", "ja", "ru", "ja", "zh"]


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("The word 你好 means hello.", [("你好", "zh")]),
        ("He wrote Привет on the wall.", [("Привет", "ru")]),
        ("She said “Привіт, світе!” and left.", [("Привіт, світе", "uk")]),
        ("Order ラーメン or 寿司を now.", [("ラーメン", "ja"), ("寿司を", "ja")]),
        ("Both 你好 and שלום!", [("你好", "zh"), ("שלום", "he")]),
        ("नमस्ते means hello.", [("नमस्ते", "hi")]),
        ("An IT-компания in 2024年.", [("компания", "ru"), ("年", "zh")]),
        ("Say я and 好.", [("я", "ru"), ("好", "zh")]),
        ("Plain café, naïve.", []),
        ("Σ is a sum, π and μ, 5 µm, Δx of α-β.", []),
        ("The word λόγος is known.", [("λόγος", "el")]),
    ],
)
def test_words_of_another_script(text: str, foreign: list[tuple[str, str]]) -> None:
    assert [(text[span.start : span.end], span.language) for span in foreign_spans(text, "en")] == foreign


@pytest.mark.parametrize(
    ("own", "foreign"),
    [
        ("zh", [("Слово", "ru")]),
        ("ja-JP", [("Слово", "ru")]),
        ("ru", [("你好", "zh")]),
        ("ko", [("Слово", "ru"), ("你好", "zh")]),
    ],
)
def test_latin_letters_belong_to_every_language(own: str, foreign: list[tuple[str, str]]) -> None:
    text = "Слово 你好 hello"
    assert [(text[span.start : span.end], span.language) for span in foreign_spans(text, own)] == foreign
