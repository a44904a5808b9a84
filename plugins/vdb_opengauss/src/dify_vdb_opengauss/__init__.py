"""Vectors in openGauss with DataVec, over the family of engines with array columns."""

from dify_vdb_opengauss.settings import OpengaussSettings
from dify_vdb_opengauss.store import OpengaussStore

__all__ = ["OpengaussSettings", "OpengaussStore"]
