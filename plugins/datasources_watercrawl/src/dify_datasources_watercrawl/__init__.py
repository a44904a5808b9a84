"""A data source that has WaterCrawl crawl websites."""

__all__: list[str] = []
