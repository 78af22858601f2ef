"""``edgebus doctor``: arguments."""

import typer

from edgebus.commands.options import JsonOption, RedisOption, redis_url
from edgebus.terminal import exits

__all__ = ["doctor"]


def doctor(*, redis: RedisOption = None, as_json: JsonOption = False) -> None:
    """Look for faults of Redis, of replicas and of edges; prints lines to type, and changes nothing."""
    from edgebus.doctor.examination import examine
    from edgebus.doctor.report import exit_code, show_report
    from edgebus.logs import configure
    from edgebus.run import run

    configure("critical")
    with exits():
        report = run(examine(redis_url(redis)))
        show_report(report, as_json=as_json)
    raise typer.Exit(exit_code(report))
