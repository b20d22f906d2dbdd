"""Prefix cache for the unconditional branch, whose keys and values of a prompt do not depend on the text."""

from __future__ import annotations

from torch import Tensor

from streaming_server.engines.dia.serving.context import VoicePrompt

MAX_VOICES = 8
"""Voices cached; one of 10 s takes 32 MB with the published model."""


class PrefixCache:
    """Keys and values per layer, [2, kv heads, rows, head width], of the most recently used prompts."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[VoicePrompt, list[Tensor]]] = {}

    def get(self, prompt: VoicePrompt) -> list[Tensor] | None:
        found = self._kept.pop(id(prompt), None)
        if found is None:
            return None
        self._kept[id(prompt)] = found
        return found[1]

    def put(self, prompt: VoicePrompt, layers: list[Tensor]) -> None:
        """Add a prompt and evict the least recently used ones."""
        self._kept[id(prompt)] = prompt, layers
        while len(self._kept) > MAX_VOICES:
            del self._kept[next(iter(self._kept))]

    def clear(self) -> None:
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
