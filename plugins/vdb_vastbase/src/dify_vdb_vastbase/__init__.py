"""Vectors in Vastbase with its type floatvector, over the family of engines with array columns."""

from dify_vdb_vastbase.settings import VastbaseSettings
from dify_vdb_vastbase.store import VastbaseStore

__all__ = ["VastbaseSettings", "VastbaseStore"]
