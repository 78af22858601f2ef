"""One file a verb: how its data are read, who may, what is done and written. A new verb is a row of ``table``."""
