"""What should exist, from a file: python examples/stack.py [FILE]

It shows what differs from examples/stack.yaml, or from FILE, and does that if you agree. `--yes` agrees in advance.
"""

import sys
from pathlib import Path

from cwinference import Client, Stack, errors

arguments = [each for each in sys.argv[1:] if each != "--yes"]
stack = Stack.load(arguments[0] if arguments else Path(__file__).with_name("stack.yaml"))

with Client() as client:
    plan = client.plan(stack)  # reads only
    print(plan)
    if not plan:
        sys.exit()
    if "--yes" not in sys.argv and input("Do it? [y/N] ") != "y":
        sys.exit("nothing was changed")
    try:
        client.apply(plan, on_step=print)  # until all is READY
    except errors.PlanOutdated as error:
        sys.exit(f"somebody else was faster, run it again: {error}")
