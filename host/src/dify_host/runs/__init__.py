"""What happened: conversations, messages, workflow runs and the log they are replayed from."""
