"""A data source that reads and crawls websites by Jina Reader."""

__all__: list[str] = []
