"""The files of deploy/prometheus and deploy/grafana as values: rules, and the panels' expressions."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tests.journeys.processes import ROOT

PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
GRAFANA: Final = ROOT / "deploy" / "grafana"
CONFIG: Final[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
RULES: Final[list[dict[str, Any]]] = [
    rule
    for file in sorted((PROMETHEUS / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS: Final = [rule for rule in RULES if "alert" in rule]
RECORDS: Final = [rule for rule in RULES if "record" in rule]
DASHBOARDS: Final[dict[str, dict[str, Any]]] = {
    file.stem: json.loads(file.read_text()) for file in sorted((GRAFANA / "dashboards").glob("*.json"))
}


@dataclass(frozen=True)
class Asked:
    """One expression of a dashboard, or the query of one of its variables."""

    where: str
    expr: str


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without its rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def asked() -> Iterator[Asked]:
    """Yield the expressions of all panels, with Grafana's variables filled in as for *All*."""
    for name, dashboard in DASHBOARDS.items():
        variables = {it["name"]: it["allValue"] for it in dashboard["templating"]["list"]}
        for panel in panels(dashboard):
            for target in panel["targets"]:
                where = f"{name}: {panel['title']} {target['refId']}"
                yield Asked(where, filled(target["expr"], variables))


def filled(expr: str, variables: dict[str, str], interval: str = "20s") -> str:
    """Return an expression as Grafana sends it; an unknown variable fails."""
    known = {**variables, "__rate_interval": interval}
    return re.sub(r"\$(\w+)", lambda found: known[found[1]], expr)
