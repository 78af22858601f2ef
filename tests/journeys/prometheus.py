"""A real Prometheus on the files of deploy/prometheus: only targets, windows of minutes and waits are exchanged."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import yaml

from tests.journeys.charts import CONFIG, PROMETHEUS
from tests.journeys.processes import Processes, fetch, program

INTERVAL: Final = "200ms"
WINDOWS: Final = {"1m": "5s", "2m": "5s", "5m": "30s", "10m": "30s"}
"""Long enough for samples of a machine that is busy; what happens once stays in the long ones."""


class Prometheus:
    """A Prometheus and its answers.

    Args:
        processes: starts the server.
        folder: for configuration and data.
        port: where it listens.
        targets: of each service, where its edges show metrics.
        producers: where programs that publish do.

    """

    def __init__(
        self,
        processes: Processes,
        folder: Path,
        port: int,
        targets: Mapping[str, Sequence[int]],
        producers: Mapping[str, int],
    ) -> None:
        self._port = port
        folder.joinpath("prometheus.yml").write_text(yaml.safe_dump(_config(targets)))
        for name in ("alerts.yml", "recording.yml"):
            folder.joinpath("rules").mkdir(exist_ok=True)
            folder.joinpath("rules", name).write_text(hurried((PROMETHEUS / "rules" / name).read_text()))
        found = [{"targets": [_place(port)], "labels": {"service": name}} for name, port in producers.items()]
        folder.joinpath("producers").mkdir()
        folder.joinpath("producers", "producers.yml").write_text(yaml.safe_dump(found))
        where = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
        argv = [program("prometheus", "prometheus"), *where, f"--web.listen-address=127.0.0.1:{self._port}"]
        processes.start(*argv, "--query.lookback-delta=2s")

    @property
    def url(self) -> str:
        """Where its pages are."""
        return f"http://127.0.0.1:{self._port}"

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """Return the samples of an expression at present, without those that are no number."""
        status, body = fetch(f"{self.url}/api/v1/query?{urlencode({'query': expr})}")
        if status == 0 or status == 503:  # it starts
            return []
        assert status == 200, (expr, body)
        samples: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return [sample for sample in samples if sample["value"][1] != "NaN"]

    def firing(self) -> list[dict[str, Any]]:
        """Return the alerts that fire."""
        alerts = json.loads(fetch(f"{self.url}/api/v1/alerts")[1])["data"]["alerts"]
        return [alert for alert in alerts if alert["state"] == "firing"]


def _place(port: int) -> str:
    return f"127.0.0.1:{port}"


def _config(targets: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Return the configuration with other targets; a service without one is left out."""
    quick = {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL}
    jobs = [_retargeted(job, targets) for job in CONFIG["scrape_configs"]]
    return {**CONFIG, "global": {**CONFIG["global"], **quick}, "scrape_configs": [job for job in jobs if job]}


def _retargeted(job: dict[str, Any], targets: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
    if "static_configs" not in job:
        return job
    (static,) = job["static_configs"]
    ports = targets.get(static["labels"]["service"], ())
    return {**job, "static_configs": [{**static, "targets": [*map(_place, ports)]}]} if ports else None


def hurried(rules: str) -> str:
    """Return rules that do not wait, over windows of seconds."""
    rules = re.sub(r"\n +keep_firing_for: .+", "", re.sub(r"\bfor: \w+", "for: 0s", rules))
    # Edges that start have no link yet; that must not silence a rule for as long as a test lasts.
    rules = re.sub(r"(redis_lost:bool)\[\d+m\]", r"\1[1s]", rules)
    return re.sub(r"\boffset \w+", f"offset {INTERVAL}", re.sub(r"(?<=\[)\d+m(?=\])", lambda it: WINDOWS[it[0]], rules))
