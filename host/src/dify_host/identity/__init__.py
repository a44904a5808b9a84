"""Who uses the platform: accounts, workspaces, members, end users and API keys."""
