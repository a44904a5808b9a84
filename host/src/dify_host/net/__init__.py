"""Everything that guards the edge: the one outbound HTTP client, secrets and passwords, rate limits."""
