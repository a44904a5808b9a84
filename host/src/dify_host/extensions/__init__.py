"""HTTP services of a workspace that take part in its apps: they judge texts and look up data."""
