"""ElevenLabs' `stream-input`: one text, spoken while it arrives."""

from __future__ import annotations

from typing import Any

from streaming_server.errors import SpeechError
from streaming_server.web.vendors.elevenlabs.fields import error_fields
from streaming_server.web.vendors.elevenlabs.multi_stream import ElevenLabsMessage, MultiStreamSession


class StreamSession(MultiStreamSession):
    """One client of `stream-input`: one context. Empty text ends it, and the connection with it."""

    def name_of(self, message: dict[str, Any]) -> str:
        return ""

    async def converse(self, name: str, message: ElevenLabsMessage) -> None:
        if message.text != "":
            await super().converse(name, message)
            return
        if not self.belongs_to_failed_turn(name, ends=True):
            self.finish(name)
        self.close_when_quiet()

    async def send_error(self, error: SpeechError) -> None:
        """Send the error and close the connection, which has no other context."""
        await self.connection.send_json(error_fields(error))
        self.hang_up(error)

    def context_fields(self, name: str | None) -> dict[str, Any]:
        return {}
