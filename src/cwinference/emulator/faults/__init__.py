"""Injected faults: which kinds there are, which calls they happen to, and how each is carried out."""
