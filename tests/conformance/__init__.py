"""The client side of the Connect conformance suite, run by `make conformance`."""
