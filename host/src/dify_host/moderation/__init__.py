"""Judges what goes into an app and what comes out: by words, by a model, or by a service of the workspace."""
