"""What the branch without text makes of a prompt: the same whatever is said, so it is computed once."""

from __future__ import annotations

from torch import Tensor

from streaming_server.engines.dia.serving.context import VoicePrompt

MOST_VOICES = 8
"""Voices remembered; one of 10 s takes 32 MB of the published model."""


class PrefixCache:
    """Keys and values per layer [2, kv heads, rows, head width] of the voices heard last."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[VoicePrompt, list[Tensor]]] = {}

    def get(self, prompt: VoicePrompt) -> list[Tensor] | None:
        found = self._kept.pop(id(prompt), None)
        if found is None:
            return None
        self._kept[id(prompt)] = found
        return found[1]

    def put(self, prompt: VoicePrompt, layers: list[Tensor]) -> None:
        """Remember a voice, and forget the one not heard for longest where there are too many."""
        self._kept[id(prompt)] = prompt, layers
        while len(self._kept) > MOST_VOICES:
            del self._kept[next(iter(self._kept))]

    def clear(self) -> None:
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
