"""The event that sends several binary messages in one write, an extension of ASGI."""

from __future__ import annotations

from typing import Final

FRAMES: Final = "speech.frames"
"""Type of an event whose `frames` are binary messages to send in order, in one write.

Servers that accept it list it in the scope's `extensions`; others are sent one event per message. Speech
leaves in groups of up to ten messages. One system call for each would cost more than all other work.
"""
