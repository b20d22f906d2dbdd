"""Sounds that Dia makes when a text names them in parentheses, such as "(laughs)"."""

from __future__ import annotations

NONVERBALS = frozenset(
    {"laughs", "clears throat", "sighs", "gasps", "coughs", "singing", "sings", "mumbles", "beep", "groans"}
    | {"sniffs", "claps", "screams", "inhales", "exhales", "applause", "burps", "humming", "sneezes"}
    | {"chuckle", "whistles"}
)
"""Nonverbal sounds listed in the README of nari-labs/dia."""
