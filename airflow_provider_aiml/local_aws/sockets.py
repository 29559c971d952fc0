"""Listening sockets that answer at once."""

from __future__ import annotations

import socket

__all__ = ["listen"]


def listen(host: str, port: int) -> socket.socket:
    """Listen on ``host`` and ``port``; port 0 takes any free one.

    Made by hand, because asyncio turns Nagle's algorithm off only for sockets whose protocol is named, and
    ``socket.create_server`` names none: every small answer would then wait 40 ms for a delayed
    acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener
