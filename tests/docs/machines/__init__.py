"""Empty machines for a page that sets machines up: roots and namespaces of their own, gone with the test."""
