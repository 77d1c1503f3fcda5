"""The exit codes of the command line. Like `main.py`, it imports nothing."""

OTHER = 1
"""An error of the API, or one that nobody expects."""
USAGE = 2
NOT_FOUND = 3
CREDENTIALS = 4
"""No token, or one that is refused or lacks a permission."""
CONFLICT = 5
"""A conflict, or a precondition that is not met."""
TIME_OVER = 6
RESOURCE_FAILED = 7
CHANGES = 8
"""`plan --exit-code`: there is something to do."""
INTERRUPTED = 130
"""Ctrl-C."""
