"""Vectors in OceanBase or seekdb: one table a space, and words under its full text."""

from dify_vdb_oceanbase.settings import OceanbaseSettings
from dify_vdb_oceanbase.store import OceanbaseStore

__all__ = ["OceanbaseSettings", "OceanbaseStore"]
