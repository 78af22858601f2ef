"""The envelope as the ecosystem's classes make and read it. Pure."""

import uuid
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bus.event import now
from bus.words import NoticeName, Verb

__all__ = ["EventTypes", "MessageType", "WebSocketMessage", "WebSocketProtocol"]


class MessageType(StrEnum):
    """Types of messages."""

    REQUEST = "request"
    SUBSCRIBE = Verb.SUBSCRIBE.value
    UNSUBSCRIBE = Verb.UNSUBSCRIBE.value
    PING = Verb.PING.value
    RESPONSE = "response"
    EVENT = "event"
    ERROR = "error"
    PONG = "pong"
    ACK = "ack"


class WebSocketMessage(BaseModel):
    """A message with the nine keys of the envelope."""

    model_config = ConfigDict(use_enum_values=True)

    id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    correlation_id: str | None = None
    type: MessageType
    event: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    timestamp: str = Field(default_factory=now)
    room: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class WebSocketProtocol:
    """Makes, writes and reads messages."""

    @staticmethod
    def encode(message: WebSocketMessage) -> str:
        """Return a message as JSON."""
        return message.model_dump_json()

    @staticmethod
    def decode(json_str: str | bytes) -> WebSocketMessage:
        """Return the message in a JSON text.

        Raises:
            ValueError: the text is no message.

        """
        return WebSocketMessage.model_validate_json(json_str)

    @staticmethod
    def create_request(event: str, data: dict[str, Any], correlation_id: str | None = None) -> WebSocketMessage:
        """Return a request."""
        own_id = correlation_id or str(uuid.uuid4())
        return WebSocketMessage(type=MessageType.REQUEST, event=event, data=data, correlation_id=own_id)

    @staticmethod
    def create_response(request: WebSocketMessage, data: dict[str, Any], error: str | None = None) -> WebSocketMessage:
        """Return the response to ``request``; with ``error`` an error.

        Clients match an answer by the request's ``id``; a request read from a client has the ``id`` or, without one,
        the client's ``correlation_id`` there.
        """
        return WebSocketMessage(
            type=MessageType.RESPONSE if error is None else MessageType.ERROR,
            event=request.event,
            data=data,
            correlation_id=request.correlation_id,
            error_message=error,
        )

    @staticmethod
    def create_event(event: str, data: dict[str, Any], room: str | None = None) -> WebSocketMessage:
        """Return an event."""
        return WebSocketMessage(type=MessageType.EVENT, event=event, data=data, room=room)

    @staticmethod
    def create_error(error_code: str, error_message: str, correlation_id: str | None = None) -> WebSocketMessage:
        """Return an error."""
        return WebSocketMessage(
            type=MessageType.ERROR,
            error_code=error_code,
            error_message=error_message,
            correlation_id=correlation_id,
        )


class EventTypes:
    """Names of events, over all services."""

    SESSION_CREATED = NoticeName.SESSION_CREATED.value
    SESSION_UPDATED = "session.updated"
    SESSION_CHECKPOINT = "session.checkpoint"
    SESSION_CLOSED = "session.closed"
    KNOWLEDGE_CAPTURED = "knowledge.captured"
    KNOWLEDGE_SEARCH_RESULT = "knowledge.search_result"
    WORKFLOW_STARTED = "workflow.started"
    WORKFLOW_STAGE_COMPLETED = "workflow.stage_completed"
    WORKFLOW_COMPLETED = "workflow.completed"
    WORKFLOW_FAILED = "workflow.failed"
    WORKER_STATUS_CHANGED = "worker.status_changed"
    POOL_STATUS_CHANGED = "pool.status_changed"
    PATTERN_DETECTED = "pattern.detected"
    ANOMALY_DETECTED = "anomaly.detected"
    INSIGHT_GENERATED = "insight.generated"
    AGGREGATION_COMPLETED = "aggregation.completed"
    TEST_STARTED = "test.started"
    TEST_COMPLETED = "test.completed"
    TEST_FAILED = "test.failed"
    QUALITY_GATE_CHECKED = "quality_gate.checked"
    COVERAGE_UPDATED = "coverage.updated"
    ADAPTER_STORED = "adapter.stored"
    ADAPTER_UPDATED = "adapter.updated"
    ADAPTER_DISTRIBUTED = "adapter.distributed"
    STORAGE_EVENT = "storage.event"
    DIAGRAM_CREATED = "diagram.created"
    DIAGRAM_UPDATED = "diagram.updated"
    CURSOR_MOVED = "cursor.moved"
    USER_JOINED = "user.joined"
    USER_LEFT = "user.left"
