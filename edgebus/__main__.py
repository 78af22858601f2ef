"""The entry point of the ``edgebus`` script, and of ``python -m edgebus``."""

import gc
import os
import sys

from edgebus import __version__

__all__ = ["main"]


def main() -> None:
    """Run the command that was typed."""
    if sys.argv[1:] == ["--version"]:  # three quarters of this answer's time went into loading Typer
        print(f"edgebus {__version__}")
    elif sys.argv[1:2] == ["edge"]:
        # What an edge loads stays. Looking through the modules for garbage, again and again, is an eighth of the start;
        # `serve_edge` turns the collection on.
        gc.disable()
        from edgebus import edge_line

        given = edge_line.read(sys.argv[2:], os.environ)
        if given is not None:
            edge_line.run_usual(given)
        else:
            from edgebus.front import only_edge

            only_edge()
    else:
        from edgebus import cli

        cli.main()


if __name__ == "__main__":
    main()
