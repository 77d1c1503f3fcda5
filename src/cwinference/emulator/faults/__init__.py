"""What goes wrong on purpose: which faults there are, whom they meet, and what they do."""
