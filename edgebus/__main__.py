"""The entry point of the ``edgebus`` script, and of ``python -m edgebus``."""

import sys

from edgebus import __version__

__all__ = ["main"]


def main() -> None:
    """Run the command that was typed."""
    if sys.argv[1:] == ["--version"]:  # three quarters of this answer's time went into loading Typer
        print(f"edgebus {__version__}")
    else:
        from edgebus import cli

        cli.main()


if __name__ == "__main__":
    main()
