"""A mistake in the file of a service is told with the file, the line and a sentence."""

from pathlib import Path

import pytest

from bus.errors import ServiceBroken
from edgebus.catalogue import find_service
from tests.edgebus.test_cli import run

HEAD = """from bus.channel import Family
from bus.event import Event
from bus.service import Service

ROOM = Family("room:{room}")


class Made(Event, event="thing.made", channels=(ROOM,)):
    room: str


"""
GOOD = 'SERVICE = Service(name="{0}", port=8699, welcome="hi", families=(ROOM,), events=(Made,))\n'
LAST = len(HEAD.splitlines()) + 1


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (HEAD + GOOD.replace("8699", "99999"), LAST, "{0}: port is 99999, and is to be a number from 0 to 65535"),
        (HEAD + GOOD.replace("(Made,)", "Made"), LAST, "events is to be a tuple"),
        (HEAD.replace("workflow", "w") + GOOD.replace("Made", "Maid"), LAST, "NameError: name 'Maid' is not defined"),
        (HEAD.replace('"thing.made"', '"Thing made"') + GOOD, 8, "TypeError: 'Thing made' is no event name"),
        (HEAD.replace("(ROOM,)", "ROOM") + GOOD, 8, "Made: channels is to be a tuple"),
        (HEAD.replace("room:{room}", "room:{room") + GOOD, 5, "'room:{room' is no channel pattern"),
        (HEAD + GOOD[:-2] + "\n", LAST, "SyntaxError: "),
        ("import no_such_library_at_all\n", 1, "ModuleNotFoundError: No module named 'no_such_library_at_all'"),
        ("\n\nimport json\njson.loads('{')\n", 4, "JSONDecodeError: "),
        ("\xff", 1, "SyntaxError: "),
    ],
)
def test_mistake_is_told_with_file_line_and_sentence(
    text: str, line: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The line is the service's own, also where something that it calls noticed, and the cause is kept."""
    name = f"shop_{abs(hash(request.node.name))}"
    file = tmp_path / f"{name}.py"
    file.write_bytes(text.replace("{0}", name[:20]).encode("latin-1"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ServiceBroken) as caught:
        find_service(f"{name}:SERVICE")
    told = str(caught.value)
    assert told.startswith(f"{file}, line {line}: ")
    assert sentence.replace("{0}", name[:20]) in told
    assert "\n" not in told
    assert caught.value.__cause__ is not None


def test_command_ends_with_one_line(tmp_path: Path) -> None:
    """What is printed is the sentence, and the command counts as wrongly called."""
    (tmp_path / "shop.py").write_text(HEAD + GOOD.replace("{0}", "shop").replace("8699", "'8699'"))
    done = run("services", "shop:SERVICE", PYTHONPATH=str(tmp_path))
    where = f"{tmp_path / 'shop.py'}, line {LAST}"
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"edgebus: {where}: shop: port is '8699', and is to be a number from 0 to 65535\n"
