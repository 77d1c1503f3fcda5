"""What the arguments of all commands have in common."""
