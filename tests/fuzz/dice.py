"""Seeded random input: values of every type, texts that are hard to read, and mutations of valid messages."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 7, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**53, 2**53 + 1, 2**63 - 1, 2**63),
    *(-(2**63), -(2**63) - 1, 2**64, -(2**64), 10**30, 10**400, -(10**400)),
    *(0.0, -0.0, 0.5, 1.5, -1.5, 1e-320, 1e300, -1e300, float("nan"), float("inf"), float("-inf")),
)

TEXTS = (
    "Hello there.",
    "A second sentence, with a comma.",
    "Dr. Smith paid $3.50 on 5/6/2024 at 10:30 p.m. for 3 kg.",
    "one two three ",
    "",
    " ",
    "\n\n",
    ".",
    "...!?!?",
    "*bold* _it_ `code` # head\n- item\n1. item\n> quote\n[link](http://x.y/z)",
    '<speak>A <break time="10ms"/> B <say-as interpret-as="digits">123</say-as></speak>',
    "<speak><prosody rate='",
    '<break time="99999999999s"/>',
    "[pause 1e99s] [pause -1s] [pause s]",
    "[S1] Hello. [S2] Hi. [S1]",
    "[S1][S2][S3]",
    "(laughs) (sighs",
    "Привет, мир. Как дела?",
    "你好,世界。再见!",
    "The word 你好 means <emphasis>hello</emphasis>, мир [pause 10ms] and 東京です.",
    "مرحبا بالعالم.",
    "नमस्ते दुनिया।",
    "\u202eabc\u202c \u200d\u200b\ufeff\u2028\u2029",
    "👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇩🇪",
    "e\u0301" * 8 + "\u0301" * 40,
    "\x00\x01\x1b[31m\x7f\x85",
    "\ud83d",
    "\ude00 and \ud83d\ude00",
    "%s %n %x {0} ${x} {{7*7}}",
    "../../etc/passwd",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "x" * 300,
    "9" * 300,
    "1" + ",000" * 60,
    "a." * 60,
    "!" * 200,
    "ﷺ" * 20,
    "I.II.III.IV.V. 1.2.3.4.5 1-2-3 1/2/3/4 12:34:56:78",
)

NAMES = ("a", "b", "default", "*", "ünï", "", "x" * 64, "x" * 65, "\ud83d", "\x00", "..", "aria", "Алиса")

ALTERNATIVES = ("type", "context", "text", "voice", "speed", "__class__", "$ref", "", "extra", "\ud83d")

DEPTHS = (10, 200, 1_000, 2_000, 50_000)
"""Levels of nesting. orjson decodes the first three; recursion in Python fails at the third."""


class Dice(random.Random):
    """A random generator for fuzzing. The same seed gives the same input."""

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def text(self) -> str:
        """Return a text: mostly a short one, sometimes several joined or cut in two."""
        text = self.choice(TEXTS)
        while self.chance(0.3):
            text += self.choice((" ", "", "\n")) + self.choice(TEXTS)
        if self.chance(0.2):
            text = text[: self.randint(0, len(text))]
        return text

    def plain(self) -> str:
        """Return a text without anything unusual."""
        return " ".join(self.choice(TEXTS[:4]) for _ in range(self.randint(1, 2)))

    def name(self) -> str:
        return self.choice(NAMES) if self.chance(0.3) else self.choice("abc")

    def value(self, depth: int = 2) -> Any:
        """Return a JSON value of any type."""
        kinds: list[Callable[[], Any]] = [
            lambda: self.choice(NUMBERS),
            lambda: self.choice(NUMBERS),
            self.text,
            lambda: self.choice(NAMES),
            lambda: self.choice((None, True, False)),
            lambda: "x" * self.choice((129, 4097, 9000)),
        ]
        if depth > 0:
            kinds += [
                lambda: [self.value(depth - 1) for _ in range(self.randint(0, 3))],
                lambda: {self.choice(ALTERNATIVES): self.value(depth - 1) for _ in range(self.randint(0, 3))},
            ]
        return self.choice(kinds)()

    def mutated(self, message: Any) -> Any:
        """Return a copy of a JSON value with one change somewhere in it."""
        message = copy.deepcopy(message)
        if not isinstance(message, dict | list) or not message or self.chance(0.1):
            return self.value()
        inside = self.choice([*(message if isinstance(message, dict) else range(len(message)))])
        match self.randrange(6):
            case 0:
                del message[inside]
            case 1 | 2:
                message[inside] = self.value()
            case 3 if isinstance(message, dict):
                message[self.choice(ALTERNATIVES)] = message.pop(inside)
            case 4 if isinstance(message, dict):
                message[self.choice(ALTERNATIVES)] = self.value()
            case _:
                message[inside] = self.mutated(message[inside])
        return message

    def own_options(self) -> dict[str, Any]:
        """Return some of the options that every door understands."""
        options = {
            self.choice(("language", "lang", "lang_code", "language_code")): self.choice(
                ("en", "de", "auto", "xx")
            ),
            "text_processing": self.choice((True, False, None)),
            "seed": self.choice((0, 7, -1, 2**63)),
            "pitch": self.choice((0.5, 1.0, 2.0, 9)),
            "voices": self.choice(({"S2": "kai"}, {"S1": "nobody"}, {"S3": "kai"}, {}, self.value(1))),
        }
        return {name: options[name] for name in self.sample(list(options), self.choice((0, 0, 1, 2)))}

    def encoded(self, message: Any) -> bytes:
        """Encode a value as JSON: with surrogates escaped or bare, sometimes damaged, sometimes nested."""
        form = self.randrange(20)
        if form == 0:
            depth = self.choice(DEPTHS)
            opening, closing = self.choice(((b'{"type":', b"}"), (b'{"text":', b"}"), (b"[", b"]")))
            return opening * depth + b"0" + closing * depth
        raw = json.dumps(message, ensure_ascii=form < 15).encode("utf-8", "surrogatepass")
        if form == 1:
            return self.damaged(raw)
        if form == 2 and isinstance(message, dict) and message:
            key = json.dumps(self.choice(list(message)))
            return raw[:-1] + f",{key}:{json.dumps(self.value())}}}".encode()  # The same key twice.
        if form == 3:
            return b"\xef\xbb\xbf \n" + raw
        return raw

    def damaged(self, raw: bytes) -> bytes:
        """Return bytes with a few of them changed, dropped, repeated or inserted."""
        data = bytearray(raw)
        for _ in range(self.randint(1, 4)):
            at = self.randrange(len(data) + 1)
            match self.randrange(5):
                case 0:
                    data[at : at + 1] = self.randbytes(1)
                case 1:
                    del data[at : at + self.randint(1, 16)]
                case 2:
                    data[at:at] = self.choice(
                        (b"-", b"9" * 500, b"null", b'"', b"[", b"{", b"\xff", b"\x00", b"\r\n", b"\\ud83d")
                    )
                case 3:
                    data[at:at] = data[at // 2 : at // 2 + 32]
                case 4:
                    del data[at:]
        return bytes(data)

    def disturbed(self, script: list[Any]) -> list[Any]:
        """Return the messages of a session, some of them dropped, repeated or moved."""
        script = list(script)
        while script and self.chance(0.4):
            at, to = self.randrange(len(script)), self.randrange(len(script))
            match self.randrange(3):
                case 0:
                    del script[at]
                case 1:
                    script.insert(to, script[at])
                case 2:
                    script[at], script[to] = script[to], script[at]
        return script

    def cut(self, raw: bytes) -> list[bytes]:
        """Cut bytes into a few pieces."""
        places = sorted(self.randint(0, len(raw)) for _ in range(self.randint(0, 3)))
        return [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)]
