"""Bundle: installs the host and the plugins listed in its metadata."""
