"""How much the facade costs, beside the bare libraries: `python -m bench`, or `make bench`."""
