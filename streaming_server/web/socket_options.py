"""Limits on the bytes that a client has not read yet: how many are kept, and for how long."""

from __future__ import annotations

import socket
from asyncio import BaseTransport, WriteTransport
from typing import cast

SEND_BUFFER = 32 * 1024
"""Bytes the kernel buffers per client. Its default of megabytes would count a minute of speech as sent."""
HIGH_WATER, LOW_WATER = 32 * 1024, 8 * 1024
"""Bytes that wait in this process when writing pauses, and when it goes on. The kernel buffers more."""
DOWNLOAD_BUFFER = 256 * 1024
"""Bytes the kernel buffers of an HTTP response.

A buffer as small as a websocket's, which serves accurate playback, holds less than one write. The client
acknowledges such a fragment only after its delay, so a download would run at a tenth of its speed.
"""
KERNEL_GRACE_S = 10.0
"""Seconds beyond --stall-timeout-s after which the kernel drops a connection that takes no bytes."""
UNACKNOWLEDGED_S = 10.0
"""Seconds after which the kernel drops a connection that is over and whose client takes no bytes."""


def set_user_timeout(listener: socket.socket, seconds: float) -> None:
    """Let the kernel drop accepted connections whose client has taken no bytes for that many seconds.

    That ends connections to clients that vanished, and to those that stand still.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * seconds))


def shorten_user_timeout(transport: BaseTransport) -> None:
    """Drop a connection that is over as soon as its client takes no bytes for a moment."""
    if (connection := transport.get_extra_info("socket")) is not None and not transport.is_closing():
        set_user_timeout(connection, UNACKNOWLEDGED_S)


def limit_write_buffer(transport: BaseTransport) -> None:
    """Pause writing to a transport early, so that a client that does not read costs little memory."""
    cast(WriteTransport, transport).set_write_buffer_limits(HIGH_WATER, LOW_WATER)


def widen_send_buffer(transport: BaseTransport) -> None:
    """Let the kernel take enough of a download to keep its client busy."""
    if (connection := transport.get_extra_info("socket")) is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, DOWNLOAD_BUFFER)
