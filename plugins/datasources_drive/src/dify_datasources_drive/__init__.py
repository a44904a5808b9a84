"""Data sources that bring files from S3-compatible buckets and from WebDAV servers."""

__all__: list[str] = []
