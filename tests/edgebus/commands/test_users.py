import hashlib
import re
from collections.abc import Mapping

import pytest
from typer.testing import CliRunner

from bus.errors import AclError
from edgebus.cli import app
from edgebus.commands.users import read_hashes

HASH = "0123456789abcdef" * 4


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, list[str], str]:
    ran = CliRunner().invoke(app, ["acl", *arguments], env=environment)
    return ran.exit_code, ran.stdout.splitlines(), ran.stderr


def test_acl_prints_three_lines_and_passwords_beside_them() -> None:
    """Standard output holds one line per user with a hash; the password of that hash stands on standard error alone."""
    code, lines, beside = run(
        "--service", "mahavishnu", "--redis", "rediss://old:secret@redis.example:6380?ssl_ca_path=x"
    )
    assert code == 0
    assert len(lines) == 3
    assert "secret" not in beside
    for line, role in zip(lines, ("producer", "edge", "operator"), strict=True):
        name = f"edgebus-{role}-mahavishnu"
        url = re.search(
            rf"EDGEBUS_REDIS_URL=rediss://{name}:([\w-]{{43}})@redis\.example:6380\?ssl_ca_path=x\n", beside
        )
        assert url is not None, beside
        assert line.startswith(f"ACL SETUSER {name} reset on #{hashlib.sha256(url[1].encode()).hexdigest()} ")
        assert url[1] not in line


def test_acl_makes_other_passwords_each_time() -> None:
    """Nothing is kept: a second call makes other passwords."""
    assert run()[1] != run()[1]


def test_acl_takes_hashes() -> None:
    """A role whose hash is given gets no password; the line holds that hash."""
    _, lines, beside = run("--file", "--hash", f"edge={HASH}")
    assert lines[1].startswith(f"user edgebus-edge on #{HASH} ")
    assert beside.count("EDGEBUS_REDIS_URL=") == len(lines) - 1 == 4


@pytest.mark.parametrize(
    "arguments",
    [("--hash", "edge=secret"), ("--hash", f"edge={HASH}", "--hash", f"edge={HASH}"), ("--service", "nobody")],
)
def test_acl_refuses_what_it_cannot_use(arguments: tuple[str, ...]) -> None:
    """A wrong hash, two for one role, or an unknown service is a usage error with a sentence, and prints no line."""
    code, lines, beside = run(*arguments)
    assert (code, lines) == (2, [])
    assert beside.startswith("edgebus: ")
    assert "secret" not in beside


def test_read_hashes_refuses_two_of_one_role() -> None:
    """The second of two hashes would win in silence."""
    with pytest.raises(AclError, match="one"):
        read_hashes([f"edge={HASH}", f"edge={HASH}"])


def test_acl_by_function_loads_it_first() -> None:
    """A line loads each function, as redis-cli reads it; producers may call them, and load no script of their own."""
    code, lines, beside = run("--function", "--service", "mahavishnu")
    assert (code, len(lines)) == (0, 5)
    assert lines[0].startswith('FUNCTION LOAD REPLACE "#!lua name=edgebus_')
    assert lines[1].startswith('FUNCTION LOAD REPLACE "#!lua name=edgebus_')
    assert "+fcall" in lines[2].split()
    assert not {"+script|load", "+evalsha", "(+evalsha"} & set(lines[2].split())
    code, lines, beside = run("--function", "--file")
    assert [line.split()[0] for line in lines] == ["user"] * 5
    assert "grep ^FUNCTION | redis-cli" in beside
