"""Example apps and documents of our own, for `dify demo` and for whoever wants to look at a small app."""
