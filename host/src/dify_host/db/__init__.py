"""The database: engine, column types, tenant-scoped repositories, outbox, migrations."""
