"""Models of OpenAI and of every server that speaks its API; HTTP goes through the host's client."""

from dify_providers_openai.settings import OpenAICredentials

__all__ = ["OpenAICredentials"]
