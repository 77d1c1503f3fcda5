"""The command line, `cwinference <command>`: a file for each command."""
