"""python-socketio with its Redis manager, as its documentation sets it up; runs in a venv of its own, under uvicorn."""

import os

import socketio  # type: ignore[import-not-found]  # of that venv

__all__ = ["application"]

_server = socketio.AsyncServer(
    async_mode="asgi",
    client_manager=socketio.AsyncRedisManager(os.environ["REDIS_URL"]),
    ping_interval=3600,
)
application = socketio.ASGIApp(_server)


async def _subscribe(sid: str, room: str) -> str:
    await _server.enter_room(sid, room)
    return room  # the answer to the client


_server.on("subscribe", _subscribe)
