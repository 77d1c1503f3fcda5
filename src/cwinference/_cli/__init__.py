"""The command line, `cwinference <command>`. It makes its calls through the public `Client`.

    main.py          the entry point: from arguments to an exit code
    commands.py      the table of commands; each is loaded when it is needed
    run.py           what a command gets: settings, a client, what to print on
    output.py        the two streams, which may be closed, full or broken
    exit_codes.py    the exit codes
    failures.py      from an error to a line, the next command to try, and an exit code
    standard_input.py    what `-` reads
    parsing/         options that all commands share, groups, suggestions
    printing/        forms of output, tables, colors, progress
    resources/       the commands of gateways, deployments, claims and hot-loads

Other files are a command each. CONTRIBUTING.md says how to add one.
"""
