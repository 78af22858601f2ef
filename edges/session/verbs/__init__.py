"""A file per verb: parse, permission, run. A new verb is a file and a row of ``table``."""
