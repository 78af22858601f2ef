"""Emits one event by python-socketio's own way from another process: python publish.py REDIS_URL ROOM TEXT."""

import asyncio
import sys

import socketio  # type: ignore[import-not-found]  # of the peer's own venv


async def main(redis_url: str, room: str, text: str) -> None:
    """Emit it."""
    await socketio.AsyncRedisManager(redis_url, write_only=True).emit("event", {"text": text}, room=room)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
