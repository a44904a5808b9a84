"""A data source that crawls websites by itself."""

__all__: list[str] = []
