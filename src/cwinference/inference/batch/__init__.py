"""Many completions at once, from a file or an iterable into a file."""
