"""How clients speak to a server of Socket.IO: Engine.IO 4 over WebSocket, without long polling before."""

from typing import Final

from benchmarks.peer import ROOM, Step, Wire, upgrade

__all__ = ["CHANNEL", "wire"]

CHANNEL: Final = b"room-" + ROOM


def wire(publish: bytes) -> Wire:
    """Return the wire; ``publish`` is the command that a publisher gave Redis."""
    return Wire(
        publish=publish,
        request=upgrade("/socket.io/?EIO=4&transport=websocket"),
        steps=(Step(expect=b'0{"sid":'), Step(b"40", b'40{"sid":')),
        subscribe=b'420["subscribe","%b"]' % CHANNEL,
        subscribed=b'430["%b"]' % CHANNEL,
        ping=b"2",
        pong=b"3",
    )
