"""The human input node: the run waits until somebody has filled in a form and chosen what happens next."""

from dify_nodes_human.plugin import register_nodes

__all__ = ["register_nodes"]
