"""Completions of deployed models, over the OpenAI-compatible HTTP API of a gateway."""
