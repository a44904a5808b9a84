"""The HTTP foundation that every audience shares: errors, callers, streams, headers."""
