"""The progress of a voice's file, as clients see it."""

from __future__ import annotations

from typing_extensions import TypedDict

from streaming_server.voices.files import DownloadProgress


class Download(TypedDict):
    """The file of a voice, fetched when it is first used. state: absent, fetching, present or failed.

    received, size: bytes. error: why the last attempt failed.
    """

    state: str
    received: int
    size: int
    error: str | None


def download(progress: DownloadProgress) -> Download:
    return {
        "state": progress.state,
        "received": progress.received,
        "size": progress.size,
        "error": progress.error,
    }
