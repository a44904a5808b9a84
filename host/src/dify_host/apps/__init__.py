"""What is built: apps, their configurations, workflows, sites and tags."""
