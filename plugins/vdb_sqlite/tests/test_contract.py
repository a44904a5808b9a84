"""The whole contract, on a real file."""

from dify_kernel.testing.vector import VectorStoreSuite


class TestContract(VectorStoreSuite):
    """Nothing is left out."""
