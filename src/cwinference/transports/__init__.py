"""The libraries that speak to the network, each behind modules of its own. Start with `base` and `factory`."""
