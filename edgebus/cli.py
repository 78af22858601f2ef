"""The command line: the commands, and the way from a typed word to a command.

Each command has its arguments in ``edgebus.commands``. The parts that do a command's work are imported when the command
runs, so that ``--help`` does not wait for Redis' client, an edge or the dashboard of the demo.
"""

from enum import StrEnum
from typing import Annotated

import typer

from edgebus.commands.acl import acl
from edgebus.commands.ask import ask
from edgebus.commands.broker import broker
from edgebus.commands.cert import cert
from edgebus.commands.clients import client, clients, kick
from edgebus.commands.dashboard import dashboard
from edgebus.commands.doctor import doctor
from edgebus.commands.edge import edge
from edgebus.commands.edges import drain, edges, log_level, undrain
from edgebus.commands.get import get
from edgebus.commands.history import history
from edgebus.commands.lag import lag
from edgebus.commands.listen import listen
from edgebus.commands.mcp import mcp
from edgebus.commands.options import JsonOption
from edgebus.commands.presence import presence
from edgebus.commands.publish import publish
from edgebus.commands.replay import replay
from edgebus.commands.rooms import room, rooms
from edgebus.commands.schema import typescript
from edgebus.commands.services import services
from edgebus.commands.state import state
from edgebus.commands.token import check, make, revoke
from edgebus.commands.top import top
from edgebus.commands.trace import trace
from edgebus.front import PLAIN, front
from edgebus.terminal import Exit, exit_with, exits

__all__ = ["app", "main"]

app = front()


def main() -> None:
    """Run the command that was typed."""
    app()


@app.command()
def demo(
    for_s: Annotated[float | None, typer.Option("--for", min=1, metavar="SECONDS", help="End after that.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Files per second of the demo's workflow.")] = 20,
    shift: Annotated[int, typer.Option(min=0, max=20_000, help="Add this to every port.")] = 0,
) -> None:
    """Run everything on this machine: broker, seven edges, and producers with real input."""
    from edgebus.demo.demo import Demo
    from edgebus.logs import configure
    from edgebus.run import run

    configure("error")
    with exits():
        run(Demo(rate=rate, shift=shift).run(for_s))


# The order of `--help`: first the parts that run, then one event, then the past, then the catalogue.
for _command in (
    edge,
    broker,
    cert,
    publish,
    listen,
    ask,
    presence,
    history,
    get,
    state,
    acl,
    replay,
    services,
    trace,
    mcp,
):
    app.command()(_command)
app.command()(doctor)

# An operator's: first those that look, then those that change something.
for _order in (dashboard, top, edges, rooms, clients, room, client, lag, kick, drain, undrain):
    app.command()(_order)
app.command("log-level")(log_level)

token = typer.Typer(help="Tokens: make, check and revoke what lets clients in.", rich_markup_mode=PLAIN)
app.add_typer(token, name="token", no_args_is_help=True)
for _verb in (make, check, revoke):
    token.command()(_verb)

schema = typer.Typer(help="Types for other languages, from the models of events.", rich_markup_mode=PLAIN)
app.add_typer(schema, name="schema", no_args_is_help=True)
schema.command()(typescript)

lab = typer.Typer(
    help="The fault laboratory: real servers, one fault at a time, and an independent checker.", rich_markup_mode=PLAIN
)
app.add_typer(lab, name="lab", no_args_is_help=True)


class LabSize(StrEnum):
    """How much a scenario does."""

    SMALL = "small"
    FULL = "full"


@lab.command("list")
def lab_list(*, as_json: JsonOption = False) -> None:
    """List the scenarios."""
    from edgebus.lab.report import show_scenarios

    show_scenarios(as_json=as_json)


@lab.command("run")
def lab_run(
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios, as `edgebus lab list` shows them.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    times: Annotated[int, typer.Option(min=1, max=1000, help="How often to run each.")] = 1,
    size: Annotated[LabSize, typer.Option(help="small is what the tests run.")] = LabSize.FULL,
    as_json: JsonOption = False,
) -> None:
    """Run scenarios on servers of their own; ends with 1 when a promise of the bus broke."""
    from edgebus.lab.report import run_named
    from edgebus.lab.scenarios import SCENARIOS
    from edgebus.logs import configure
    from edgebus.run import run

    if bool(names) == everything:
        exit_with(Exit.USAGE, "name scenarios, or write --all")
    configure("critical")
    with exits():
        chosen = list(SCENARIOS) if everything else names or []
        code = run(run_named(chosen, times=times, size=size, as_json=as_json))
    raise typer.Exit(code)


@lab.command("chaos")
def lab_chaos(
    *,
    seed: Annotated[int, typer.Option(min=0, help="What the faults are drawn from; the first one of several.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="How many seeds, one after another.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="For how long faults happen.")] = 45.0,
    as_json: JsonOption = False,
) -> None:
    """Draw faults from a seed and let them happen together; ends with 1 when a promise of the bus broke."""
    from edgebus.lab.report import run_chaos
    from edgebus.logs import configure
    from edgebus.run import run

    configure("critical")
    with exits():
        code = run(run_chaos(range(seed, seed + seeds), seconds=seconds, as_json=as_json))
    raise typer.Exit(code)
