"""deploy/prometheus and deploy/grafana, checked by promtool and against the runbook and compose.yaml; nothing runs."""

import itertools
import json
import re
import subprocess
from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from producers.services import NAMES
from tests.journeys.charts import ALERTS, CONFIG, DASHBOARDS, GRAFANA, PROMETHEUS, RECORDS, asked, panels
from tests.journeys.processes import ROOT, program

UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def promtool(*words: Any) -> str:
    """Run promtool; return what it printed, and fail with that."""
    argv = [program("promtool", "prometheus"), *map(str, words)]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_prometheus_accepts_its_configuration() -> None:
    """``promtool check config`` finds no mistake, in the rules neither."""
    printed = promtool("check", "config", "--lint-fatal", PROMETHEUS / "prometheus.yml")
    assert f"{len(ALERTS)} rules found" in printed
    assert f"{len(RECORDS)} rules found" in printed


def test_rules_do_what_their_unit_tests_say() -> None:
    """``promtool test rules``: each alert fires when it should, and stays quiet when another says the cause."""
    promtool("test", "rules", *UNIT_TESTS)


def test_each_rule_has_a_unit_test() -> None:
    """Each alert is expected to fire by a unit test, and each record to have a value."""
    tests = [test for file in UNIT_TESTS for test in yaml.safe_load(file.read_text())["tests"]]
    text = json.dumps([one for test in tests for one in test["promql_expr_test"] if one["exp_samples"]])
    assert [rule["alert"] for rule in ALERTS if rule["alert"] not in text] == []
    assert [rule["record"] for rule in RECORDS if rule["record"] not in text] == []


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page by their anchors."""
    parts = re.split(r"^## (.+)$", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {name.lower().replace(" ", "-"): text for name, text in zip(parts[::2], parts[1::2], strict=True)}


def test_each_alert_says_who_is_affected_and_where_to_look() -> None:
    """An alert has a severity, a sentence and a section of the runbook, which has no others."""
    for rule in ALERTS:
        annotations = rule["annotations"]
        assert set(rule["labels"]) == {"severity"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(annotations) == {"summary", "description", "runbook"}
        assert annotations["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert re.search(r"client|producer|nobody|events", annotations["summary"], re.IGNORECASE)
    found = [anchor for anchor in sections("docs/runbook.md") if anchor.startswith("edgebus")]
    assert found == list(dict.fromkeys(rule["alert"].lower() for rule in sorted(ALERTS, key=_place(found))))


def _place(order: list[str]) -> Any:
    return lambda rule: order.index(rule["alert"].lower())


def test_each_section_says_what_to_look_at_and_what_to_type() -> None:
    """A section of the runbook has its four parts and a command, or points to the section that has."""
    for anchor, text in sections("docs/runbook.md").items():
        if anchor.startswith("edgebus") and "**Look and do** as for" not in text:
            parts = re.findall(r"^\*\*(Means|Look|Do|Over when)", text, re.MULTILINE)
            assert parts == ["Means", "Look", "Do", "Over when"], anchor
            assert "```sh" in text, anchor


def test_each_panel_of_the_runbook_is_there() -> None:
    """What a section looks at, in italics, is the title of a panel or of a row of panels."""
    titles = {panel["title"] for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]}
    for anchor, text in sections("docs/runbook.md").items():
        _, _, look = text.partition("**Look.**")
        named = re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", look.partition("**Do.**")[0])
        assert {" ".join(name.split()) for name in named} - {"As administrator", "As administrator:"} <= titles, anchor


def test_each_service_has_its_job() -> None:
    """A service's job is called as the ecosystem's charts ask for it, and gives its targets the service's name."""
    jobs = {job["job_name"]: job for job in CONFIG["scrape_configs"]}
    assert list(jobs) == [*(f"{name}-websocket" for name in NAMES), "producers"]
    for name in NAMES:
        (static,) = jobs[f"{name}-websocket"]["static_configs"]
        assert static["labels"] == {"service": name}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboard_is_whole(name: str) -> None:
    """Each panel has a unit, a description and the datasource that is provisioned, and none covers another."""
    dashboard = DASHBOARDS[name]
    provisioned = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())
    source = {"type": "prometheus", "uid": provisioned["datasources"][0]["uid"]}
    assert dashboard["uid"] == f"edgebus-{name}"
    everywhere = [*dashboard["templating"]["list"], *dashboard["annotations"]["list"], *panels(dashboard)]
    everywhere += [target for panel in panels(dashboard) for target in panel["targets"]]
    assert [it for it in everywhere if it["datasource"] != source] == []
    for panel in panels(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [set(_tiles(panel["gridPos"])) for panel in dashboard["panels"]]
    assert all(not one & other for one, other in itertools.combinations(places, 2))


def _tiles(place: dict[str, int]) -> Iterable[tuple[int, int]]:
    assert place["x"] + place["w"] <= 24
    return itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))


def test_dashboards_use_no_variable_that_is_not_theirs() -> None:
    """Each expression can be filled in with the variables of its own dashboard; no two panels ask under one name."""
    names = [one.where for one in asked()]
    assert len(names) == len(set(names)) > 60
