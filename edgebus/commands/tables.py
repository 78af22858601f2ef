"""``edgebus services``: the catalogue for people."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from bus.description import forms
from bus.event import Event
from bus.service import Service
from edgebus.terminal import escape, show, show_table

__all__ = ["show_service", "show_services"]


def show_services(services: Sequence[Service]) -> None:
    """Print one line per service."""
    table = _table("service", "port", "channels")
    for service in services:
        patterns = ", ".join(family.pattern for family in service.families)
        _row(table, service.name, str(service.port), patterns)
    show_table(table)


def show_service(service: Service) -> None:
    """Print a service's channels, events and requests."""
    show(f"{service.name}, port {service.port}, dialect {service.dialect}")
    channels = _table("channel", "kept", "permission")
    for family in service.families:
        _row(channels, family.pattern, family.retention.kind, family.permission or f"{service.name}:read")
    events = _table("event", "data", "channels")
    for event in service.events:
        _row(events, event.event_name, _fields(event), ", ".join(forms(event)))
    requests = _table("request", "data", "answer")
    for request in service.requests:
        _row(requests, request.name, ", ".join(request.question.model_fields), ", ".join(request.answer.model_fields))
    clients = _table("clients publish", "permission", "sender")
    for opened in service.client_events:
        _row(clients, opened.event.event_name, opened.permission, opened.sender or "")
    for table in (channels, events, requests, *([clients] if service.client_events else [])):
        show_table(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=False)
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(escape(cell)) for cell in cells))


def _fields(event: type[Event]) -> str:
    names = [name for name, field in event.model_fields.items() if not field.exclude]
    return ", ".join(names) + (" +" if event.model_config.get("extra") == "allow" else "")
