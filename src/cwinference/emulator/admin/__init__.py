"""The admin routes below `/_emulator/`: health, reset, state, faults, fates, clock, and a log of requests."""
