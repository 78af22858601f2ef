"""``WebSocketBroadcaster`` of mahavishnu's pools: its calls in its own order, over a server, or a producer alone."""

import logging
from collections import deque
from typing import Any

from bus.event import Event, now
from edgebus.compat.protocol import WebSocketProtocol
from edgebus.compat.server import WebSocketServer
from producers import Producer, with_metadata
from producers.emitting import Emitting, Taken
from producers.services import mahavishnu

__all__ = ["WebSocketBroadcaster", "create_broadcaster"]

_logger = logging.getLogger("edgebus.compat")


class WebSocketBroadcaster:
    """Tells of pools: the events of ``Mahavishnu(producer)``, on the same channels, in the argument order of the pools.

    No call raises, or waits for Redis; each returns whether the event was taken. ``broadcast_worker_status_changed``
    takes pool, worker, status, as everywhere here; the SDK's method of that name takes keywords alone.

    Args:
        websocket_server: a server of the drop-in, once it runs; any other is given ``broadcast_to_room``.
        buffer_size: events kept while the server is not running, the newest; with ``buffer_enabled``.
        buffer_enabled: whether to keep events for ``flush_buffer``.
        producer: publish with this one, and without a server.

    """

    def __init__(
        self,
        websocket_server: Any = None,
        buffer_size: int = 1000,
        buffer_enabled: bool = False,
        *,
        producer: Producer | None = None,
    ) -> None:
        self.server = websocket_server
        self._outbox = None if producer is None else producer.emitting()
        self._keeps = buffer_enabled
        self._kept: deque[Event] = deque(maxlen=buffer_size)

    def set_server(self, websocket_server: Any) -> None:
        """Broadcast by another server from now on."""
        self.server = websocket_server

    # Pools.

    async def broadcast_pool_spawned(self, pool_id: str, config: dict[str, Any]) -> bool:
        """Tell of a new pool."""
        return await self._broadcast(mahavishnu.PoolSpawned, pool_id=pool_id, config=config)

    async def broadcast_pool_scaled(self, pool_id: str, worker_count: int) -> bool:
        """Tell of a pool's new number of workers."""
        return await self._broadcast(mahavishnu.PoolScaled, pool_id=pool_id, worker_count=worker_count)

    async def broadcast_pool_status_changed(self, pool_id: str, status: str | dict[str, Any]) -> bool:
        """Tell of a pool's new status; a text is the ``state``."""
        return await self._broadcast(mahavishnu.PoolStatusChanged, pool_id=pool_id, status=status)

    async def broadcast_pool_closed(self, pool_id: str) -> bool:
        """Tell of a pool's end."""
        return await self._broadcast(mahavishnu.PoolClosed, pool_id=pool_id)

    # Workers and tasks.

    async def broadcast_worker_added(self, pool_id: str, worker_id: str) -> bool:
        """Tell of a pool's new worker."""
        return await self._broadcast(mahavishnu.WorkerAdded, pool_id=pool_id, worker_id=worker_id)

    async def broadcast_worker_removed(self, pool_id: str, worker_id: str) -> bool:
        """Tell of a worker's leaving of a pool."""
        return await self._broadcast(mahavishnu.WorkerRemoved, pool_id=pool_id, worker_id=worker_id)

    async def broadcast_worker_status_changed(self, pool_id: str, worker_id: str, status: str) -> bool:
        """Tell of a worker's new status."""
        return await self._broadcast(
            mahavishnu.WorkerStatusChanged, pool_id=pool_id, worker_id=worker_id, status=status
        )

    async def broadcast_task_assigned(self, pool_id: str, worker_id: str, task: dict[str, Any]) -> bool:
        """Tell of a worker's new task."""
        return await self._broadcast(mahavishnu.TaskAssigned, pool_id=pool_id, worker_id=worker_id, task=task)

    async def broadcast_task_completed(self, pool_id: str, worker_id: str, result: dict[str, Any]) -> bool:
        """Tell of the result of a worker's task."""
        return await self._broadcast(mahavishnu.TaskCompleted, pool_id=pool_id, worker_id=worker_id, result=result)

    # The learning ecosystem. ``user_id``, the caller's login, neither routes nor is sent.

    async def broadcast_learning_metrics(
        self,
        patterns_strengthened: int = 0,
        patterns_weakened: int = 0,
        model_retrains: int = 0,
        avg_confidence_score: float = 0.0,
        user_id: str | None = None,
    ) -> bool:
        """Tell the figures of the learning loop."""
        return await self._broadcast(
            mahavishnu.LearningMetrics,
            patterns_strengthened=patterns_strengthened,
            patterns_weakened=patterns_weakened,
            model_retrains=model_retrains,
            avg_confidence_score=avg_confidence_score,
        )

    async def broadcast_skill_effectiveness(
        self,
        skill_name: str,
        success_rate: float,
        total_attempts: int = 0,
        avg_confidence: float = 0.0,
        user_id: str | None = None,
    ) -> bool:
        """Tell a skill's figures of success."""
        return await self._broadcast(
            mahavishnu.SkillEffectiveness,
            skill_name=skill_name,
            success_rate=success_rate,
            total_attempts=total_attempts,
            avg_confidence=avg_confidence,
        )

    async def broadcast_strategy_recommender_metrics(
        self,
        recommendations_made: int = 0,
        high_confidence_count: int = 0,
        avg_success_rate: float = 0.0,
        user_id: str | None = None,
    ) -> bool:
        """Tell the figures of the recommender of strategies."""
        return await self._broadcast(
            mahavishnu.StrategyRecommender,
            recommendations_made=recommendations_made,
            high_confidence_count=high_confidence_count,
            avg_success_rate=avg_success_rate,
        )

    # The buffer.

    async def flush_buffer(self) -> int:
        """Broadcast the events that were kept, oldest first, up to the first that is not taken; return how many."""
        taken = 0
        while self._kept:
            event = self._kept.popleft()  # out of the buffer first: a broadcast meanwhile may push the oldest out
            if not await self._send(event):
                self._kept.appendleft(event)
                break
            taken += 1
        return taken

    def clear_buffer(self) -> int:
        """Forget the events that were kept; return how many."""
        count = len(self._kept)
        self._kept.clear()
        return count

    async def _broadcast(self, model: type[Event], **fields: Any) -> bool:
        try:
            event = with_metadata(model, None, **fields)
        except (TypeError, ValueError) as error:
            return await self._skip(model.event_name, error)
        is_taken = await self._send(event)
        if not is_taken and self._keeps:
            self._kept.append(event)
        return is_taken

    async def _skip(self, name: str, error: Exception) -> bool:
        if (outbox := self._bus()) is not None:
            return await outbox.skip(name, error)
        _logger.warning("%s was not sent: %s", name, error)
        return False

    async def _send(self, event: Event) -> bool:
        if (outbox := self._bus()) is not None:
            return await outbox.publish(event)
        if not getattr(self.server, "is_running", False):
            return False
        try:
            await self._send_to_room(event)
        except Exception:
            _logger.exception("a broadcast failed", extra={"event": event.event_name})
            return False
        return True

    async def _send_to_room(self, event: Event) -> None:
        # A server without a bus, such as a mock of a unit test: the old broadcaster had one room, the pool's.
        names = [channel.name for channel in event.channels()]
        room = next((name for name in names if name.startswith("pool:")), names[-1])
        data = {"timestamp": now(), **event.model_dump(mode="json")}
        await self.server.broadcast_to_room(room, WebSocketProtocol.create_event(event.event_name, data, room=room))

    def _bus(self) -> Emitting[Taken, Any] | None:
        if self._outbox is not None:
            return self._outbox
        producer = self.server.producer if isinstance(self.server, WebSocketServer) else None
        return None if producer is None else producer.emitting()


def create_broadcaster(websocket_server: Any = None, buffer_enabled: bool = False) -> WebSocketBroadcaster:
    """Return a broadcaster."""
    return WebSocketBroadcaster(websocket_server, buffer_enabled=buffer_enabled)
