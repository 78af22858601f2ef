"""The log of a channel: appending by a script, reading, replay, forks. Alone in using the keys of logs."""
