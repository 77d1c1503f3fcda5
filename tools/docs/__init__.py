"""The parts of `docs/` that are made from the sources: the Python reference while Sphinx builds, tables by a command.

`python -m tools.docs` writes the tables: one module here for each page, in the style of `errors.py`.
"""
