import subprocess
import sys

SCRIPT = """
import resource
from edgebus.serving import allow_files
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
found = []
for count in (300, 200, 10**12):
    allow_files(count)
    found.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
assert found[:2] == [300, 300], found
assert found[2] in (most, 10**12), found
"""


def test_files_are_allowed_as_far_as_the_system_lets() -> None:
    """The limit of open files is raised to what an edge may need, never lowered, and never past the system's."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=30)
