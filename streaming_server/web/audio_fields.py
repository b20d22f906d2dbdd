"""Choices from a list, which clients write in any case and with spaces around them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from streaming_server.audio.formats import AudioFormat
from streaming_server.types import Encoding


def _folded(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _format(value: Any) -> Any:
    folded = _folded(value)
    return "opus" if folded == "ogg" else folded


any_case = BeforeValidator(_folded)
"""Added to a `Literal` of lower-case words."""

EncodingName = Annotated[Encoding, any_case]

FormatName = Annotated[AudioFormat, BeforeValidator(_format)]
"""ogg is opus, which is sent in Ogg."""
