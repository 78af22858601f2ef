"""The command line: what can be typed, and which part of the house answers.

Parts are imported when their command runs, so that ``--help`` does not wait for Redis' client, an edge or the dashboard
of the demo.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from edgebus import __version__
from edgebus.terminal import Exit, exit_with, exits, show, show_json

__all__ = ["app", "main"]

_PLAIN: Final = None
"""The look of help. The boxes of rich take longer to load than everything else that ``--help`` needs."""

app = typer.Typer(
    name="edgebus",
    help="One event bus on Redis, and WebSocket edges that carry it to screens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=_PLAIN,
    context_settings={"max_content_width": 120},
)


class Level(StrEnum):
    """How much a process logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_VERSION: Final = f"edgebus {__version__}"

RedisOption = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL", help="Redis; else EDGEBUS_REDIS_URL, else redis://127.0.0.1:6390."),
]
ServiceOption = Annotated[
    str | None,
    typer.Option("--service", metavar="MODULE:ATTR", help="A service of your own, beside the built-in ones."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines, for programs.")]
LevelOption = Annotated[Level, typer.Option("--log-level", help="How much to log, to standard error.")]


def main() -> None:
    """Run the command that was typed; the entry point of the ``edgebus`` script."""
    if sys.argv[1:] == ["--version"]:  # Typer would load pydantic to read this flag
        typer.echo(_VERSION)
    else:
        app()


@app.callback(invoke_without_command=True)
def _root(*, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        show(_VERSION)
        raise typer.Exit(Exit.OK)


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


@app.command()
def edge(
    service: Annotated[str, typer.Argument(help="mahavishnu, akosha, … or package.module:ATTRIBUTE.")],
    *,
    config: Annotated[Path | None, typer.Option(help="YAML file with a 'websocket:' section.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; else the service's.")] = None,
    redis: RedisOption = None,
    max_connections: Annotated[int | None, typer.Option(help="Clients at once.")] = None,
    message_rate_limit: Annotated[int | None, typer.Option(help="Messages per second of one client.")] = None,
    insecure_behind_proxy: Annotated[
        bool, typer.Option("--insecure-behind-proxy", help="No TLS, though others reach it: a proxy in front ends TLS.")
    ] = False,
    more: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting.")] = None,
    log_level: LevelOption = Level.INFO,
) -> None:
    """Serve one service's clients over WebSocket, until told to stop."""
    from edgebus.catalogue import find_service
    from edgebus.logs import configure
    from edgebus.run import run
    from edgebus.serving import serve_edge
    from edges import EdgeSettings

    configure(log_level)
    with exits():
        settings = EdgeSettings.load(
            config,
            _settings(more or []),
            host=host,
            port=port,
            redis_url=redis,
            max_connections=max_connections,
            message_rate_limit=message_rate_limit,
            insecure_behind_proxy=insecure_behind_proxy or None,
        )
        if not settings.enabled:
            show("websocket.enabled is false: nothing to do")
            return
        run(serve_edge(find_service(service), settings))


def _settings(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            exit_with(Exit.USAGE, f"--set {pair}: write NAME=VALUE")
    return {name.replace("-", "_"): value for name, _, value in (pair.partition("=") for pair in pairs)}


@app.command()
def broker(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 6390,
    directory: Annotated[Path | None, typer.Option("--dir", help="Keep the data here.")] = None,
) -> None:
    """Run a Redis server of our own (Valkey), until told to stop."""
    from edgebus.run import run
    from edgebus.serving import serve_broker

    with exits():
        run(serve_broker(port, directory))


@app.command()
def cert(
    *,
    dev: Annotated[
        bool, typer.Option("--dev", help="One that nobody but you trusts, to try and to test with.")
    ] = False,
    name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name or address of this machine.")
    ] = None,
    directory: Annotated[Path, typer.Option("--dir", help="Where the files go.")] = Path(),
    days: Annotated[int, typer.Option(min=1, max=825, help="How long it is valid.")] = 365,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Make a certificate for wss on this machine, with its key and the authority that clients must trust."""
    from edgebus.commands import certificates

    if not dev:
        exit_with(
            Exit.USAGE, "cert makes certificates to try only: --dev; for others, get one from an authority they trust"
        )
    with exits():
        certificates.write_dev(directory, extra=name or [], days=days, force=force)


@app.command()
def publish(
    event: Annotated[str, typer.Argument(help="Name of the event, such as workflow.started.")],
    data: Annotated[str, typer.Argument(help="Its data as a JSON object, or - for standard input.")] = "{}",
    *,
    redis: RedisOption = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate an event and publish it on the channels that follow from its model."""
    from edgebus.catalogue import all_services, find_event
    from edgebus.commands import events
    from edgebus.run import run

    with exits():
        _, model = find_event(event, all_services(service))
        run(events.publish(_url(redis), model, events.read_data(data), as_json=as_json))


@app.command()
def listen(
    channels: Annotated[list[str], typer.Argument(help="Such as workflow:wf_123, or mahavishnu/global.")],
    *,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Begin in the past: -15m, an ISO time, a position.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Begin with this many past events.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after this many events.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, metavar="SECONDS", help="Give up after that.")] = None,
    url: Annotated[str | None, typer.Option(metavar="ws://…", help="The edge; else the service's port here.")] = None,
    token: Annotated[str | None, typer.Option(envvar="EDGEBUS_TOKEN", help="What lets you in.")] = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a client of the edge sees on some channels."""
    from edgebus.catalogue import all_services, find_channel
    from edgebus.commands import listening
    from edgebus.run import run

    with exits():
        services = all_services(service)
        wanted = [find_channel(text, services) for text in channels]
        if url is not None and len({owner.name for owner, _ in wanted}) > 1:
            exit_with(Exit.USAGE, "--url names one edge, and the channels belong to several services")
        if since is not None and last is not None:
            exit_with(Exit.USAGE, "--since, --last: give one of them")
        following = listening.listen(
            wanted, url=url, token=token, since=since, last=last, count=count, timeout_s=timeout, as_json=as_json
        )
        try:
            run(following)
        except KeyboardInterrupt:
            raise typer.Exit(Exit.OK) from None


@app.command()
def history(
    channel: Annotated[str, typer.Argument(help="Such as workflow:wf_123, or mahavishnu/global.")],
    *,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many, the newest.")] = 1000,
    redis: RedisOption = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what Redis holds of a channel's past, oldest first."""
    from edgebus.catalogue import all_services, find_channel
    from edgebus.commands import events
    from edgebus.run import run

    with exits():
        _, found = find_channel(channel, all_services(service))
        run(events.show_history(_url(redis), found, count=count, as_json=as_json))


@app.command()
def acl(
    *,
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="Users for one service; else for all built-in ones.")
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option("--hash", metavar="ROLE=SHA256", help="Of a password that you have already.")
    ] = None,
    as_file: Annotated[bool, typer.Option("--file", help="Lines for an ACL file, not for redis-cli.")] = False,
    function: Annotated[
        bool, typer.Option("--function", help="Producers load no script; a line loads the function that they call.")
    ] = False,
    redis: RedisOption = None,
) -> None:
    """Print Redis users with the least that a producer, an edge and an operator need; nothing is changed by it."""
    from edgebus.catalogue import all_services, find_service
    from edgebus.commands.acl import read_hashes, show_users

    with exits():
        chosen = [find_service(service)] if service else all_services()
        show_users(
            chosen,
            narrowed=service is not None,
            by_function=function,
            hashes=read_hashes(given or []),
            url=_url(redis, is_for_others=True),
            as_file=as_file,
        )


@app.command()
def replay(
    channel: Annotated[str, typer.Argument(help="Such as workflow:wf_123, or mahavishnu/global.")],
    *,
    since: Annotated[str, typer.Option(help="A position, an ISO time with its offset, or a span such as -15m.")],
    until: Annotated[str | None, typer.Option(help="The same forms; else all there is.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Times the pace at which it happened; else 1.")] = None,
    at_once: Annotated[bool, typer.Option("--at-once", help="Do not wait at all.")] = False,
    redis: RedisOption = None,
    service: ServiceOption = None,
) -> None:
    """Print a channel's past as JSON lines, at its own pace or a multiple of it."""
    from edgebus.catalogue import all_services, find_channel
    from edgebus.commands import replaying
    from edgebus.run import run

    with exits():
        _, found = find_channel(channel, all_services(service))
        if at_once and speed is not None:
            exit_with(Exit.USAGE, "--at-once, --speed: give one of them")
        pace = None if at_once else speed or 1.0
        run(replaying.replay(_url(redis), found, since=since, until=until, speed=pace))


@app.command()
def services(
    name: Annotated[str | None, typer.Argument(help="One service, in full.")] = None, *, as_json: JsonOption = False
) -> None:
    """List the services, or what one has: channels, events with their fields, requests."""
    from edgebus.catalogue import all_services, describe, find_service
    from edgebus.commands.tables import show_service, show_services

    with exits():
        chosen = [find_service(name)] if name else all_services()
        if as_json:
            for service in chosen:
                show_json(describe(service))
        elif name:
            show_service(chosen[0])
        else:
            show_services(chosen)


token = typer.Typer(help="Tokens: make, check and revoke what lets clients in.", rich_markup_mode=_PLAIN)
app.add_typer(token, name="token", no_args_is_help=True)
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The edge's YAML file, for its settings.")]
MoreOption = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the edge.")]


@token.command("make")
def token_make(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    permissions: Annotated[list[str] | None, typer.Argument(help="Such as workflow:read, mahavishnu:read.")] = None,
    *,
    expires_in: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="How long it lives.")] = 3600,
    key: Annotated[Path | None, typer.Option(help="PEM file with the private key; else the edge's secret.")] = None,
    kid: Annotated[str | None, typer.Option(help="Name of the key in the issuer's JWKS.")] = None,
    token_id: Annotated[str | None, typer.Option("--id", help="Its jti; else a random one.")] = None,
    config: ConfigOption = None,
    more: MoreOption = None,
) -> None:
    """Print a token, signed with EDGEBUS_AUTH_SECRET or a private key; for tests and for first steps."""
    from edgebus.commands import tokens
    from edges import EdgeSettings

    with exits():
        made = tokens.make(
            EdgeSettings.load(config, _settings(more or [])),
            user=user,
            permissions=permissions or [],
            lives_s=expires_in,
            key_file=key,
            kid=kid,
            token_id=token_id,
        )
        show(made)


@token.command("check")
def token_check(
    text: Annotated[str, typer.Argument(metavar="TOKEN", help="The token, or - for standard input.")] = "-",
    *,
    config: ConfigOption = None,
    more: MoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a token claims, and what an edge with these settings says of it; ends with 1 if it is refused."""
    from edgebus.commands import tokens
    from edgebus.run import run
    from edges import EdgeSettings

    with exits():
        settings = EdgeSettings.load(config, _settings(more or []))
        shown = sys.stdin.read() if text == "-" else text
        is_taken = run(tokens.check(settings, shown.strip(), as_json=as_json))
    raise typer.Exit(Exit.OK if is_taken else Exit.FAILED)


@token.command("revoke")
def token_revoke(
    *,
    user: Annotated[str | None, typer.Option(help="Every token that this user was given until now.")] = None,
    token_id: Annotated[str | None, typer.Option("--id", help="The one token with this jti.")] = None,
    redis: RedisOption = None,
) -> None:
    """Make every edge close who is in by these tokens, and take them no more."""
    from bus.redis.revocation import of_token, of_user
    from edgebus.commands import tokens
    from edgebus.run import run

    with exits():
        if user and not token_id:
            member = of_user(user)
        elif token_id and not user:
            member = of_token(token_id)
        else:
            exit_with(Exit.USAGE, "give --user or --id, one of them")
        run(tokens.revoke(_url(redis), member))


lab = typer.Typer(
    help="The fault laboratory: real servers, one fault at a time, and an independent checker.", rich_markup_mode=_PLAIN
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


def _url(given: str | None, *, is_for_others: bool = False) -> str:
    """Return the URL of Redis, checked; for what is only printed, its files may be those of another machine."""
    from bus.redis.address import check_url, default_url, read_url

    url = given or default_url()
    (read_url if is_for_others else check_url)(url)
    return url
