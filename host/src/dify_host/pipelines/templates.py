"""Templates that a workspace has kept of its pipelines: list, change, delete, and begin with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func

from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.types import new_id
from dify_host.pipelines.errors import TemplateNotFound
from dify_host.pipelines.records import Template
from dify_host.pipelines.tables import pipeline_customized_templates

__all__ = ["PipelineTemplates"]

_table = pipeline_customized_templates


class PipelineTemplates(TenantRepository):
    """Those of one workspace; none is built in."""

    async def list(self) -> list[Template]:
        """All, by position and age."""
        query = self.scoped_select(_table).order_by(_table.c.position, _table.c.created_at, _table.c.id)
        async with self.db.read() as conn:
            return [to_struct(row, Template) for row in await conn.execute(query)]

    async def get(self, template_id: str) -> Template:
        """One; TemplateNotFound."""
        async with self.db.read() as conn:
            query = self.scoped_select(_table).where(_table.c.id == template_id)
            row = (await conn.execute(query)).one_or_none()
        if row is None:
            raise TemplateNotFound("Pipeline template not found.", template_id=template_id)
        return to_struct(row, Template)

    async def add(self, account_id: str, text: str, *, language: str = "en-US", **values: Any) -> Template:
        """Keep a pipeline's text, after those that are there; `values` are columns, at least `name`."""
        own = {"id": new_id(), "yaml_content": text, "language": language, "install_count": 0}
        async with self.db.write() as conn:
            last = (await conn.execute(self.scoped_select(_table, func.max(_table.c.position)))).scalar_one() or 0
            made = {"position": last + 1, "created_by": account_id, "updated_by": account_id}
            await conn.execute(self.scoped_insert(_table, {**values, **own, **made}))
        return await self.get(str(own["id"]))

    async def update(self, template_id: str, account_id: str, values: Mapping[str, Any]) -> Template:
        """Change columns; TemplateNotFound."""
        async with self.db.write() as conn:
            change = self.scoped_update(_table, {**values, "updated_by": account_id})
            await conn.execute(change.where(_table.c.id == template_id))
        return await self.get(template_id)

    async def delete(self, template_id: str) -> None:
        """Forget one; TemplateNotFound."""
        async with self.db.write() as conn:
            gone = await conn.execute(self.scoped_delete(_table).where(_table.c.id == template_id))
        if gone.rowcount == 0:
            raise TemplateNotFound("Pipeline template not found.", template_id=template_id)
