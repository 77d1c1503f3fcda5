"""Tables of resources, for the command line and for notebooks: which columns there are, and what they show."""
