"""Validation of requests: a table of rules for each message type, and the check of a request against it."""
