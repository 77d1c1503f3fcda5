"""Stacks: gateways, deployments and capacity claims described in a file, planned and applied.

    stack = Stack.load("stack.yaml")
    plan = client.plan(stack)        # reads only
    print(plan)
    client.apply(plan)

A stack is written in YAML or JSON, and says nothing of ids or status. The rest of this package is how it works:

_kinds.py              the sections of a stack, in the order of what needs what
_files.py              files and specs of one resource
_fields.py             from a document to fields, with the line of each mistake
_secret_references.py  secrets by reference
_entries.py            from resources to a document
_stack.py              `Stack`
_plan.py               `Plan` and its steps, as text and as JSON
_live.py               what exists, read as JSON
_work.py               a step and what is needed to perform it; the order of steps
_planning.py           from a stack and what exists to steps
_applying.py           the flow that performs them
_operations.py         what the methods of a client do
"""

from ._plan import Action, FieldChange, Plan, PlanStep, Seen
from ._stack import Stack

__all__ = ["Action", "FieldChange", "Plan", "PlanStep", "Seen", "Stack"]
