"""What tests share: clients of every kind, and servers that answer as they are told."""
