"""``python -m edgebus`` is the ``edgebus`` script."""

from edgebus.cli import main

main()
