"""A data source that reads pages and databases of Notion."""

__all__: list[str] = []
