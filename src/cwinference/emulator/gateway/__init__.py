"""What is below a gateway: OpenAI-compatible routes, and the models that respond there."""
