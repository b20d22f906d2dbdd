"""The ways in which clients cut a text that is still being written."""

from __future__ import annotations

import re

import pytest


def cut(text: str) -> dict[str, list[str]]:
    """The pieces, by what they are. Put together they are the text; sentences lack the space between them."""
    return {
        "words and a space": re.findall(r"\S+\s*", text),
        "a space and words": re.findall(r"\s*\S+", text),
        "characters": list(text),
        "sentences": re.findall(r"\S.*?[.!?](?=\s|$)", text),
        "whole": [text],
    }


def pieces_of(text: str, *ways: str) -> pytest.MarkDecorator:
    """Give a test the text's `pieces`, in each of these ways or in all."""
    cuts = cut(text)
    return pytest.mark.parametrize("pieces", [cuts[way] for way in ways or cuts], ids=ways or list(cuts))
