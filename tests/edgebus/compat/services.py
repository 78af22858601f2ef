"""Classes in the shape of the ecosystem's servers; only the import line is ours."""

import uuid
from datetime import UTC, datetime
from typing import Any

from edgebus.compat import EventTypes, MessageType, WebSocketMessage, WebSocketProtocol, WebSocketServer


class _Shape(WebSocketServer):
    """What the five have in common."""

    sentence = ""
    name = ""

    async def on_connect(self, websocket: Any, connection_id: str) -> None:
        user = getattr(websocket, "user", None)
        welcome = WebSocketProtocol.create_event(
            EventTypes.SESSION_CREATED,
            {
                "connection_id": connection_id,
                "server": self.name,
                "message": self.sentence,
                "authenticated": user is not None,
            },
        )
        await websocket.send(WebSocketProtocol.encode(welcome))

    async def on_disconnect(self, websocket: Any, connection_id: str) -> None:
        await self.leave_all_rooms(connection_id)

    async def on_message(self, websocket: Any, message: WebSocketMessage) -> None:
        if message.type == MessageType.REQUEST:
            await self._handle_request(websocket, message)

    async def _handle_request(self, websocket: Any, message: WebSocketMessage) -> None:
        connection_id = str(getattr(websocket, "id", uuid.uuid4()))
        channel: Any = message.data.get("channel")
        if message.event == "subscribe":
            await self.join_room(channel, connection_id)
            response = WebSocketProtocol.create_response(message, {"status": "subscribed", "channel": channel})
        elif message.event == "unsubscribe":
            await self.leave_room(channel, connection_id)
            response = WebSocketProtocol.create_response(message, {"status": "unsubscribed", "channel": channel})
        else:
            response = await self.answer(message)
        await websocket.send(WebSocketProtocol.encode(response))

    async def answer(self, message: WebSocketMessage) -> WebSocketMessage:
        return WebSocketProtocol.create_error(
            "UNKNOWN_REQUEST", f"Unknown request event: {message.event}", message.correlation_id
        )

    async def tell(self, room: str, event: str, **data: Any) -> None:
        stamped = {"timestamp": datetime.now(UTC).isoformat(), **data}
        await self.broadcast_to_room(room, WebSocketProtocol.create_event(event, stamped, room=room))


class MahavishnuWebSocketServer(_Shape):
    sentence, name = "Connected to Mahavishnu orchestration", "mahavishnu"
    pools: Any = None

    async def answer(self, message: WebSocketMessage) -> WebSocketMessage:
        if message.event == "get_pool_status":
            return WebSocketProtocol.create_response(message, {"pool_id": message.data["pool_id"], "status": "live"})
        return await super().answer(message)

    async def broadcast_workflow_started(self, workflow_id: str, metadata: dict[str, Any]) -> None:
        await self.tell(f"workflow:{workflow_id}", EventTypes.WORKFLOW_STARTED, workflow_id=workflow_id, **metadata)

    async def broadcast_worker_status_changed(self, worker_id: str, status: str, pool_id: str) -> None:
        await self.tell(
            f"pool:{pool_id}", EventTypes.WORKER_STATUS_CHANGED, worker_id=worker_id, status=status, pool_id=pool_id
        )


class AkoshaWebSocketServer(_Shape):
    sentence, name = "Connected to Akosha pattern detection", "akosha"

    async def broadcast_pattern_detected(self, pattern_id: str, pattern_type: str, confidence: float) -> None:
        await self.tell(
            f"patterns:{pattern_type}",
            EventTypes.PATTERN_DETECTED,
            pattern_id=pattern_id,
            pattern_type=pattern_type,
            confidence=confidence,
        )


class CrackerjackWebSocketServer(_Shape):
    sentence, name = "Connected to Crackerjack quality monitoring", "crackerjack"

    async def broadcast_backup(self, path: Any, at: datetime) -> None:
        await self.tell("backup", "backup.done", path=path, at=at, run=uuid.UUID(int=7), kinds={"code"})


class ExcalidrawWebSocketServer(_Shape):
    sentence, name = "Connected to Excalidraw collaboration", "excalidraw"

    async def on_message(self, websocket: Any, message: WebSocketMessage) -> None:
        if message.type == MessageType.EVENT and message.event == EventTypes.CURSOR_MOVED:
            await self.tell(f"cursor:{message.data['diagram_id']}", EventTypes.CURSOR_MOVED, **message.data)
            return
        await super().on_message(websocket, message)


class FastblocksWebSocketServer(_Shape):
    sentence, name = "Connected to Fastblocks UI update stream", "fastblocks"

    async def broadcast_state_changed(self, state_path: str, new_value: Any) -> None:
        await self.tell("state", "state.changed", state_path=state_path, new_value=new_value)


SHAPES = (
    MahavishnuWebSocketServer,
    AkoshaWebSocketServer,
    CrackerjackWebSocketServer,
    ExcalidrawWebSocketServer,
    FastblocksWebSocketServer,
)
