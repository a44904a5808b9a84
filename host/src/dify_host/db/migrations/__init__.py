"""The alembic environment: revisions of the schema, run by `dify_host.db.migrate`."""
