"""Which tools a workspace may use, with which credentials."""
