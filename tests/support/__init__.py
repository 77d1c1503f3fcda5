"""What tests share: clients of every kind, and servers whose responses a test decides."""
