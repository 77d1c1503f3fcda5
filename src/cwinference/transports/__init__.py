"""The libraries that speak to the network, each behind a module of its own.

Start with `base`, which says what a transport is.
"""
