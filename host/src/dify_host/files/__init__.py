"""Files that people upload and tools make."""
