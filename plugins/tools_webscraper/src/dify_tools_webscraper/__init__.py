"""A tool that reads a web page: its title, author and main text."""

__all__: list[str] = []
