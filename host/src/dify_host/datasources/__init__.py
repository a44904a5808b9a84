"""Sources of knowledge: what plugins offer, a workspace's credentials for them, and what is read from them."""
