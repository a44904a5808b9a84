"""Reads the text out of uploaded documents, in a process that can be killed."""
