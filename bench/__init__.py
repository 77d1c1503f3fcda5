"""Benchmarks of the library against the bare libraries underneath: `python -m bench`, or `make bench`."""
