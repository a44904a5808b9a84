"""Imports every table of the house, so that `metadata` is complete for migrations, checks and tests."""

from __future__ import annotations

import dify_host.apps.tables
import dify_host.datasources.tables
import dify_host.db.outbox
import dify_host.files.tables
import dify_host.human.tables
import dify_host.identity.tables
import dify_host.knowledge.tables
import dify_host.models.tables
import dify_host.pipelines.tables
import dify_host.runs.tables
import dify_host.tools.tables  # noqa: F401
from dify_host.db.schema import metadata

__all__ = ["metadata"]
