"""Which models a workspace may use, with which credentials."""
