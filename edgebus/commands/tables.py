"""``edgebus services``: the catalogue for people."""

from collections.abc import Sequence

from bus.description import forms
from bus.event import Event
from bus.service import Service
from edgebus.columns import add_row, table_of
from edgebus.terminal import show, show_table

__all__ = ["show_service", "show_services"]


def show_services(services: Sequence[Service]) -> None:
    """Print one line per service."""
    table = table_of("service", "port", "channels")
    for service in services:
        patterns = ", ".join(family.pattern for family in service.families)
        add_row(table, service.name, str(service.port), patterns)
    show_table(table)


def show_service(service: Service) -> None:
    """Print a service's channels, events and requests."""
    show(f"{service.name}, port {service.port}, dialect {service.dialect}")
    channels = table_of("channel", "kept", "permission")
    for family in service.families:
        add_row(channels, family.pattern, family.retention.kind, family.permission or f"{service.name}:read")
    events = table_of("event", "data", "channels")
    for event in service.events:
        add_row(events, event.event_name, _fields(event), ", ".join(forms(event)))
    requests = table_of("request", "data", "answer")
    for request in service.requests:
        add_row(
            requests, request.name, ", ".join(request.question.model_fields), ", ".join(request.answer.model_fields)
        )
    clients = table_of("clients publish", "permission", "sender")
    for opened in service.client_events:
        add_row(clients, opened.event.event_name, opened.permission, opened.sender or "")
    for table in (channels, events, requests, *([clients] if service.client_events else [])):
        show_table(table)


def _fields(event: type[Event]) -> str:
    names = [name for name, field in event.model_fields.items() if not field.exclude]
    return ", ".join(names) + (" +" if event.model_config.get("extra") == "allow" else "")
