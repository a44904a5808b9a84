"""A data source that has Firecrawl crawl websites."""

__all__: list[str] = []
