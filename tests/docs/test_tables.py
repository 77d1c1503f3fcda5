"""Tables that list what the code has are complete."""

import re

from cwinference import types

from .pages import PAGES

SPECS = {
    "gateway": types.GatewaySpec.DESCRIPTOR,
    "deployment": types.DeploymentSpec.DESCRIPTOR,
    "capacity claim": types.CapacityClaimSpec.DESCRIPTOR,
}


def test_the_table_of_nested_fields_is_that_of_the_api() -> None:
    table = PAGES["docs/how-to/messages.md"].text.partition("## What is in a spec")[2].partition("\n## ")[0]
    shown, resource = dict[tuple[str, str], list[str]](), ""
    for first, argument, fields in re.findall(r"^\| ([a-z ]*?) ?\| `(\w+)`[^|]* \| (.*) \|$", table, re.MULTILINE):
        resource = first or resource
        shown[resource, argument] = re.findall(r"`(\w+)`", fields)
    assert shown == {
        (resource, field.name): [each.name for each in field.message_type.fields]
        for resource, spec in SPECS.items()
        for field in spec.fields
        if field.message_type is not None
    }
