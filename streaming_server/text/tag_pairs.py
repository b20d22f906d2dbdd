"""Pairs of tags in a text."""

from __future__ import annotations

import re

LONGEST_TAG = 200
"""Longest tag, in code points, that a span is extended by."""

_TAG = re.compile(r"<(/?)([A-Za-z][\w-]*)[^<>]*?(/?)>")


def complete_pairs(text: str, start: int, end: int, first: int) -> tuple[int, int]:
    """Extend a span by the tags next to it whose counterparts lie within: "He</b>llo" by "<b>" before it.

    first: the span begins there at the earliest.
    """
    opened: list[str] = []
    closed: list[str] = []
    if "<" in text[start:end]:
        for slash, name, empty in _TAG.findall(text, start, end):
            if slash and opened and opened[-1] == name:
                opened.pop()
            elif not empty:
                (closed if slash else opened).append(name)
    for name in closed:
        tag = re.search(rf"<{name}\b[^<>]*>\Z", text[max(first, start - LONGEST_TAG) : start])
        start -= len(tag[0]) if tag else 0
    for name in reversed(opened):
        tag = re.match(rf"</{name}\s*>", text[end : end + LONGEST_TAG])
        end += len(tag[0]) if tag else 0
    return start, end
