"""The workflow engine: plan, values, pool, engine, events, log, output."""
