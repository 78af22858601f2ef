"""Who may read and ask what, typed by hand from services.md. ``test_access_table.py`` holds real edges to it.

Every caller but the anonymous one is the user ``alice``. A channel or a request names the callers it is open to; it is
closed to all others.
"""

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["CALLERS", "NAMED", "TABLE", "Opens"]

CALLERS: Final[dict[str, tuple[str, ...]]] = {
    "stranger": (),
    "admin": ("admin",),
    "owner": ("{service}:admin",),
    "reader": ("{service}:read",),
    "neighbour": ("{other}:admin", "{other}:read", "{service}", "read", "{service}:write", "*"),
    "workflows": ("workflow:read",),
    "pools": ("pool:read",),
    "workers": ("worker:read",),
    "teams": ("team:read",),
    "two": ("workflow:read", "team:read"),
}
"""A caller's permissions; ``{service}`` is the one in question, ``{other}`` another one."""


@dataclass(frozen=True, slots=True)
class Opens:
    """One service: channels to callers, and requests to their data and callers."""

    channels: dict[str, str]
    requests: dict[str, tuple[dict[str, Any], str]]


_READERS = "admin owner reader"
_DEEDS = "admin owner"
"""With permissions of their own, which no reader has."""

NAMED: Final = {"join_collaboration", "leave_collaboration", "join_repository", "leave_repository"}
"""Requests about the client's own user; where there are tokens, a client without one has none."""

TABLE: Final[dict[str, Opens]] = {
    "mahavishnu": Opens(
        {
            "workflow:1": "admin owner reader workflows two",
            "pool:1": "admin owner reader pools",
            "worker:1": "admin owner reader workers",
            "goal-teams": "admin owner reader teams two",
            "goal-teams:alice": "admin owner reader teams two",
            "goal-teams:bob": "admin owner",
            "adapters": "admin owner reader",
            "symbiotic:ecosystem": "admin owner reader",
            "global": "admin owner reader workflows pools workers teams two",
        },
        {
            "get_workflow_status": ({"workflow_id": "1"}, "admin owner reader workflows two"),
            "get_pool_status": ({"pool_id": "1"}, "admin owner reader pools"),
        },
    ),
    "akosha": Opens(
        {
            "patterns:1": _READERS,
            "patterns": _READERS,
            "anomalies": _READERS,
            "insights": _READERS,
            "metrics": _READERS,
        },
        {"get_patterns": ({}, _READERS), "get_anomalies": ({}, _READERS)},
    ),
    "crackerjack": Opens(
        {"test:1": _READERS, "quality:1": _READERS, "coverage": _READERS, "global": _READERS},
        {"get_test_status": ({"run_id": "1"}, _READERS), "get_quality_gate": ({"project": "1"}, _READERS)},
    ),
    "session-buddy": Opens(
        {"skills": _READERS, "skill:1": _READERS, "session:1": _READERS, "knowledge": _READERS},
        {},
    ),
    "dhruva": Opens(
        {
            "adapter:1": _READERS,
            "storage:1": _READERS,
            "distribution": _READERS,
            "distribution:1": _READERS,
            "lifecycle": _READERS,
            "registry": _READERS,
            "global": _READERS,
        },
        {
            "get_adapter_status": ({"adapter_id": "1"}, _READERS),
            "get_distribution_status": ({"repo": "1"}, _READERS),
            "list_adapters": ({}, _READERS),
            "join_repository": ({"repo": "1", "agent_id": "alice"}, _READERS),
            "get_agents": ({"repo": "1"}, _READERS),
            "leave_repository": ({"repo": "1", "agent_id": "alice"}, _READERS),
        },
    ),
    "excalidraw": Opens(
        {
            "diagram:1": _READERS,
            "element:1": _READERS,
            "cursor:1": _READERS,
            "presence:1": _READERS,
            "collaboration:1": _READERS,
            "selection:1": _READERS,
            "global": _READERS,
        },
        {
            "get_diagram_status": ({"diagram_id": "1"}, _READERS),
            "get_elements": ({"diagram_id": "1"}, _READERS),
            "join_collaboration": ({"diagram_id": "1", "user_id": "alice"}, _READERS),
            "get_active_users": ({"diagram_id": "1"}, _READERS),
            "broadcast_cursor": ({"diagram_id": "1", "user_id": "alice", "position": {"x": 1}}, _DEEDS),
            "leave_collaboration": ({"diagram_id": "1", "user_id": "alice"}, _READERS),
        },
    ),
    "fastblocks": Opens(
        {
            "ui:1": _READERS,
            "component:1": _READERS,
            "page:1": _READERS,
            "render": _READERS,
            "state": _READERS,
            "state:1": _READERS,
            "hot_reload": _READERS,
            "global": _READERS,
        },
        {
            "get_component_state": ({"component_id": "1"}, _READERS),
            "get_component_status": ({"component_id": "1"}, _READERS),
            "get_state": ({"state_path": "1"}, _READERS),
            "get_page_status": ({"page_id": "1"}, _READERS),
            "trigger_render": ({"component_id": "1"}, _DEEDS),
            "register_component": ({"component_id": "1", "page_id": "1"}, _DEEDS),
        },
    ),
}
