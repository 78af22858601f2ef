"""The single commands: a file of arguments for each command, and the files of the work.

A command knows neither the demo nor the laboratory. Files of arguments are loaded for ``--help``; a file of work is
loaded when its command runs.
"""
