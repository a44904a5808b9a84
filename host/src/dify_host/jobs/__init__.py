"""Work that is done later: the embedded queue server, broker, actors, outbox relay, worker and schedule."""
