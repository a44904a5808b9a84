"""The whole contract, on the client's local engine."""

from dify_kernel.testing.vector import VectorStoreSuite


class TestContract(VectorStoreSuite):
    """Nothing is left out."""
