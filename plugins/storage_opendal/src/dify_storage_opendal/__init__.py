"""Object storage over Apache OpenDAL: a local folder, or any service that its wheel carries."""

from dify_storage_opendal.settings import LocalSettings, OpendalSettings

__all__ = ["LocalSettings", "OpendalSettings"]
