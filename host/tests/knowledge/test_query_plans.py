"""What SQLite walks through to find segments: those of the document or of the hits, never all of a workspace.

SQLite keeps no figures about its tables by itself, and takes an equal tenant for rarer than one of a dozen ids: it
prefers any index that begins with the tenant. What a statement costs then grows with all that was indexed before.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from dify_host.knowledge.retrieval import Asker

from .house import House, custom_rule

MANY = "\n\n".join(f"Paragraph {number} about gliders and their wings." for number in range(40))


async def test_no_statement_walks_through_all_segments_of_a_workspace(house: House) -> None:
    dataset = await house.dataset()
    engine = house.db._engine.sync_engine
    statements: dict[str, Any] = {}

    def heard(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if re.match(r"(SELECT|UPDATE|DELETE)\b.*\b(document_segments|child_chunks)\b", statement, re.DOTALL):
            statements.setdefault(statement, parameters[0] if many else parameters)

    await house.add(dataset.id, "first")  # opens what writes
    for heard_of in (engine, house.db._direct, house.db._lookups):
        sa.event.listen(heard_of, "before_cursor_execute", heard)
    document = await house.add(dataset.id, MANY)
    parents = await house.dataset("Parents")
    rule = custom_rule(subchunk_segmentation={"max_tokens": 50, "separator": " "})
    await house.add(parents.id, MANY, doc_form="hierarchical_model", process_rule=rule)
    model = {"top_k": 20, "search_method": "semantic_search", "reranking_enable": False}
    for each in (dataset, parents):
        assert await house.retriever.retrieve(each.id, "gliders", Asker(user_id=house.user), model)
    await house.documents.delete(dataset.id, document)
    await house.datasets.delete(dataset.id)

    assert len(statements) > 10
    async with house.db.read() as conn:
        for statement, parameters in statements.items():
            plan = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [row[3] for row in plan]
            assert not [step for step in steps if re.search(r"\(tenant_id=|SCAN (document_seg|child_ch)", step)], (
                f"{steps}\n{statement}"
            )
