"""``WebSocketMetrics``, with the calls of a service's class and nothing counted: there are no metrics here yet."""

import logging

__all__ = ["WebSocketMetrics"]

_logger = logging.getLogger("edgebus.compat")


class WebSocketMetrics:
    """The value of ``server.metrics`` with ``enable_metrics``, so that a class that counts by hand goes on.

    Attributes:
        enabled: False.

    """

    def __init__(self, server_name: str, tls_enabled: bool = False, enabled: bool = True) -> None:
        self.server_name, self.tls_mode, self.enabled = server_name, "wss" if tls_enabled else "ws", False

    def on_connect(self, connection_id: str) -> None:
        """Count nothing."""

    def on_disconnect(self, connection_id: str) -> None:
        """Count nothing."""

    def on_message_sent(self, message_type: str) -> None:
        """Count nothing."""

    def on_message_received(self, message_type: str) -> None:
        """Count nothing."""

    def on_broadcast(self, channel: str, duration: float) -> None:
        """Count nothing."""

    def on_connection_error(self, error_type: str) -> None:
        """Count nothing."""

    def on_message_error(self, error_type: str) -> None:
        """Count nothing."""

    def observe_latency(self, message_type: str, latency: float) -> None:
        """Count nothing."""

    def set_active_connections(self, count: int) -> None:
        """Count nothing."""

    def start_metrics_server(self, port: int = 9090) -> bool:
        """Tell that nothing listens, and return False."""
        _logger.warning(
            "enable_metrics has no effect here: nothing is counted, and nothing listens on metrics_port",
            extra={"server": self.server_name, "metrics_port": port},
        )
        return False
