"""The API itself: a function over a state that lives by the clock. It knows nothing of protocols."""
