"""What the stores of one family of engines share: no vendor's name, no I/O library; a plugin brings both."""
