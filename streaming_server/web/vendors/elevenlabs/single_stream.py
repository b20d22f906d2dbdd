"""ElevenLabs' `stream-input`: one text, spoken while it comes."""

from __future__ import annotations

from typing import Any

from streaming_server.errors import SpeechError
from streaming_server.web.vendors.elevenlabs.multi_stream import Message, MultiStreamSession


class StreamSession(MultiStreamSession):
    """One client of `stream-input`: one context, which empty text ends, and the connection with it."""

    def name_of(self, message: dict[str, Any]) -> str:
        return ""

    def converse(self, name: str, message: Message) -> None:
        if message.text != "":
            super().converse(name, message)
            return
        if not self.swallowed(name, ends=True):
            self.finish(name)
        self.close_when_quiet()

    async def report(self, error: SpeechError) -> None:
        """Tell, and hang up: there is nothing else to go on with."""
        told = {"error": error.message, "message": error.message, "code": error.code}
        await self.connection.say(told)
        self.hang_up(error)

    def about(self, name: str | None) -> dict[str, Any]:
        return {}
