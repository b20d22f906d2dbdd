"""Ways in which clients split streamed text."""

from __future__ import annotations

import re

import pytest


def cut(text: str) -> dict[str, list[str]]:
    """Return the pieces by kind. Joined, they are the text, except that sentences lack the spaces between
    them."""
    return {
        "words and a space": re.findall(r"\S+\s*", text),
        "a space and words": re.findall(r"\s*\S+", text),
        "characters": list(text),
        "sentences": re.findall(r"\S.*?[.!?](?=\s|$)", text),
        "whole": [text],
    }


def pieces_of(text: str, *ways: str) -> pytest.MarkDecorator:
    """Parametrize a test with `pieces` of the text, for the given kinds or for all."""
    cuts = cut(text)
    return pytest.mark.parametrize("pieces", [cuts[way] for way in ways or cuts], ids=ways or list(cuts))
