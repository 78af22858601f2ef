"""The drop-in for ``mcp_common.websocket``: a service's server class stays, and one import line changes.

Stands on edges and producers; see docs/moving-over.md. The names are those of the package whose place this one takes.
"""

from edgebus.compat.authenticator import WebSocketAuthenticator, generate_test_token
from edgebus.compat.client import WebSocketClient
from edgebus.compat.pools import WebSocketBroadcaster, create_broadcaster
from edgebus.compat.protocol import EventTypes, MessageType, WebSocketMessage, WebSocketProtocol
from edgebus.compat.server import WebSocketServer

__all__ = [
    "EventTypes",
    "MessageType",
    "WebSocketAuthenticator",
    "WebSocketBroadcaster",
    "WebSocketClient",
    "WebSocketMessage",
    "WebSocketProtocol",
    "WebSocketServer",
    "create_broadcaster",
    "generate_test_token",
]
