"""Pages that the host serves itself."""
