"""The rules that requests have to meet, as a table, and what holds a request against it."""
