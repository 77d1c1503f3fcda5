"""What is below a gateway's endpoint: OpenAI-compatible routes, and the models that generate their responses."""
