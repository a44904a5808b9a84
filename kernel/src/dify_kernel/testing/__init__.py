"""What a plugin author tests with: conformance suites, in-memory references, broken variants and fakes."""
