"""The log of a channel: appending with its script, reading, replay, forks. Alone in knowing the keys of logs."""
