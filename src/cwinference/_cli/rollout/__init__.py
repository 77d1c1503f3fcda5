"""`cwinference rollout`: start, status, resume and revert."""
