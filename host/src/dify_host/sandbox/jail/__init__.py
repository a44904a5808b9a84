"""The jailed side of the code sandbox: runs in a process of its own, imports the standard library and nothing else.

The modules here are imported by the zygote under the top-level name `jail`, so they refer to each other relatively.
"""
