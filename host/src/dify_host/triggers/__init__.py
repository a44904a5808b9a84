"""What starts published workflows besides their callers: webhooks and schedules, from the graph to the run."""
