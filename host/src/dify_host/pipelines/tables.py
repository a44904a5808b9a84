"""Tables of knowledge pipelines, their templates, and what each document was made of."""

from __future__ import annotations

from dify_host.db.schema import flag, index, integer, json, json_text, long_text, ref, string, table

__all__ = ["document_pipeline_execution_logs", "pipeline_customized_templates", "pipelines"]

# A pipeline belongs to one knowledge base, which names it in `datasets.pipeline_id`; its workflows are in `workflows`
# under its id as `app_id`.
pipelines = table(
    "pipelines",
    ref("tenant_id"),
    string("name"),
    long_text("description"),
    ref("workflow_id", null=True),
    flag("is_public"),
    flag("is_published"),
    ref("created_by", null=True),
    ref("updated_by", null=True),
    index("tenant_id"),
)

pipeline_customized_templates = table(
    "pipeline_customized_templates",
    ref("tenant_id"),
    string("name"),
    long_text("description"),
    string("chunk_structure"),
    json("icon"),
    integer("position"),
    long_text("yaml_content", null=False),
    integer("install_count"),
    string("language", 32),
    ref("created_by"),
    ref("updated_by", null=True),
    index("tenant_id", "created_at"),
)

# One row a run over a document, with all that the run is given; its id is that of the run.
document_pipeline_execution_logs = table(
    "document_pipeline_execution_logs",
    ref("pipeline_id"),
    ref("document_id"),
    string("datasource_type"),
    json_text("datasource_info", null=False),
    string("datasource_node_id"),
    json("input_data"),
    ref("created_by", null=True),
    index("document_id", "created_at"),
    updated=False,
)
