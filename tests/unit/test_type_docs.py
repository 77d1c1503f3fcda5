"""Each message, field, enum and enum value shows its comment from the .proto: at run time and in the type stubs."""

import ast
import inspect
import os
import pydoc
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from cwinference import types
from cwinference._type_docs import DOCS
from tools.type_docs import module

STUBS = Path(__file__).parents[2] / "gen" / "coreweave" / "inference" / "v1alpha1"


def described(descriptor: Any, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield a message or enum and all that is nested in it, each with its members, without the entries of maps."""
    name = f"{prefix}{descriptor.name}"
    if isinstance(descriptor, EnumDescriptor):
        yield name, [value.name for value in descriptor.values]
    elif not descriptor.GetOptions().map_entry:
        yield name, [each.name for each in (*descriptor.fields, *descriptor.oneofs)]
        for each in (*descriptor.nested_types, *descriptor.enum_types):
            yield from described(each, f"{name}.")


PUBLIC = [getattr(types, name) for name in types.__all__ if name != "Timestamp"]
MEMBERS = dict(chain.from_iterable(described(each.DESCRIPTOR) for each in PUBLIC))


def entries(docstring: str) -> dict[str, str]:
    """Return the comments of a docstring by the names of fields, oneofs and values."""
    found = re.findall(r"^    (\w+)(?: \(.+?\))?: (.+(?:\n {8}.+)*)$", docstring, re.MULTILINE)
    return {name: flat(comment) for name, comment in found}


def flat(text: str) -> str:
    return " ".join(text.split())


def test_every_message_and_enum_has_a_docstring_also_nested_ones() -> None:
    assert DOCS.keys() == MEMBERS.keys()
    assert {
        "BodyBasedRouting.APIType",
        "Condition.Status",
        "DeploymentRuntimeParameters.RuntimeVersions",
    } <= DOCS.keys()


@pytest.mark.parametrize("name", MEMBERS)
def test_a_docstring_has_a_comment_for_the_type_and_for_each_member(name: str) -> None:
    docstring = inspect.getdoc(attrgetter(name)(types))

    assert docstring is not None
    assert re.match(r"[A-Z][^\n]+\S", docstring)
    assert list(entries(docstring)) == MEMBERS[name]
    assert max(map(len, docstring.splitlines())) <= 100


def test_help_shows_the_comment_of_a_field() -> None:
    assert "spec (GatewaySpec): Requested configuration." in pydoc.render_doc(types.Gateway)
    assert "STATUS_READY (6): In service." in pydoc.render_doc(types.Status)
    assert "STATUS_TRUE (2): The condition is true." in pydoc.render_doc(types.Condition.Status)
    assert "spec (GatewaySpec): Requested configuration." in (inspect.getdoc(types.Gateway()) or "")


def test_a_message_that_is_met_as_a_field_has_its_docstring_too() -> None:
    program = (
        "from cwinference import types\n"
        "one = types.Gateway()\n"
        "print(*[bool(type(each).__doc__) for each in (one, one.spec, one.status, one.status.conditions.add())])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert (done.stdout.split(), done.stderr) == (["True"] * 4, "")


def test_docstrings_are_set_with_the_pure_python_protobuf_too() -> None:
    program = (
        "from operator import attrgetter\n"
        "from google.protobuf.internal import api_implementation\n"
        "from cwinference import _type_docs, types\n"
        "assert api_implementation.Type() == 'python'\n"
        "print(sum(attrgetter(name)(types).__doc__ == text for name, text in _type_docs.DOCS.items()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert (done.stdout.strip(), done.stderr) == (str(len(MEMBERS)), "")


def documented(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names that a stub documents, with their docstrings."""
    for node, after in pairwise([*body, ast.Pass()]):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield f"{prefix}{node.name}", flat(text)
        if isinstance(node, ast.ClassDef):
            yield from documented(node.body, f"{prefix}{node.name}.")
        match node, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield f"{prefix}{name}", flat(text)
            case _:
                pass


STUB_DOCS = dict(
    chain.from_iterable(documented(ast.parse(path.read_text("utf-8")).body) for path in STUBS.glob("*_pb2.pyi"))
)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_type_stubs_have_the_same_comments(name: str) -> None:
    kind = attrgetter(name)(types).DESCRIPTOR
    if isinstance(kind, Descriptor):
        members, scope = kind.fields, f"{name}."  # A stub has no place for the comments of oneofs.
    else:
        members, scope = kind.values, name.removesuffix(kind.name)  # Values are attributes of what the enum is in.
    comments = entries(DOCS[name])

    assert STUB_DOCS[name] == flat(DOCS[name].partition("\n\n")[0])
    assert [STUB_DOCS.get(f"{scope}{each.name}") for each in members] == [comments[each.name] for each in members]


HOUSE = r"""
name: "house.proto" package: "house"
message_type {
  name: "House"
  field { name: "height" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "doors" number: 2 type: TYPE_MESSAGE type_name: ".house.House.Door" label: LABEL_REPEATED }
  field { name: "rooms" number: 3 type: TYPE_MESSAGE type_name: ".house.House.RoomsEntry" label: LABEL_REPEATED }
  field { name: "built" number: 4 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
  field { name: "roof" number: 5 type: TYPE_ENUM type_name: ".house.Roof" label: LABEL_OPTIONAL oneof_index: 0 }
  field {
    name: "floors" number: 6 type: TYPE_UINT32 label: LABEL_OPTIONAL oneof_index: 1 proto3_optional: true
  }
  oneof_decl { name: "top" }
  oneof_decl { name: "_floors" }
  nested_type { name: "Door" }
  nested_type {
    name: "RoomsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL }
  }
}
enum_type { name: "Roof" value { name: "ROOF_FLAT" number: 0 } }
source_code_info {
  location { path: [4, 0] leading_comments: " A house,\n on two lines.\n" }
  location { path: [4, 0, 2, 0] leading_comments: " In meters.\n" }
  location { path: [4, 0, 2, 1] leading_comments: " The \"\"\"front\"\"\" and the b\\ck.\n" }
  location { path: [4, 0, 2, 2] leading_comments: " By name.\n" }
  location {
    path: [4, 0, 2, 3]
    leading_comments: " When the keys were handed over, or when the roof was closed, whichever of the two was later.\n"
  }
  location { path: [4, 0, 2, 4] leading_comments: " A roof.\n" }
  location { path: [4, 0, 2, 5] leading_comments: " Floors above ground.\n" }
  location { path: [4, 0, 8, 0] leading_comments: " What keeps the rain out.\n" }
  location { path: [4, 0, 3, 0] leading_comments: " \"Door\"\n" }
  location { path: [5, 0] leading_comments: " A kind of roof.\n" }
  location { path: [5, 0, 2, 0] leading_comments: " Flat.\n" }
}
"""


def house() -> FileDescriptorProto:
    return text_format.Parse(HOUSE, FileDescriptorProto())


def test_the_generated_module_says_what_the_protos_say() -> None:
    variables: dict[str, Any] = {}
    exec(module([house()]), variables)  # noqa: S102

    assert variables["DOCS"] == {
        "House": inspect.cleandoc(r'''
            A house, on two lines.

            Fields:
                height (float): In meters.
                doors (list[House.Door]): The """front""" and the b\ck.
                rooms (dict[str, bytes]): By name.
                built (Timestamp): When the keys were handed over, or when the roof was closed, whichever of the
                    two was later.
                roof (Roof, oneof top): A roof.
                floors (int): Floors above ground.

            Oneofs:
                top: What keeps the rain out.
        ''') + "\n",
        "House.Door": '"Door"\n',
        "Roof": "A kind of roof.\n\nValues:\n    ROOF_FLAT (0): Flat.\n",
    }  # fmt: skip


def test_the_order_of_the_files_does_not_matter() -> None:
    other = house()
    other.name = "barn.proto"

    assert module([house(), other]) == module([other, house()])


@pytest.mark.parametrize(
    ("path", "name"),
    [([4, 0], "House"), ([4, 0, 2, 3], "House.built"), ([4, 0, 8, 0], "House.top"), ([5, 0, 2, 0], "Roof.ROOF_FLAT")],
)
def test_an_element_without_a_comment_is_refused(path: list[int], name: str) -> None:
    file = house()
    for location in file.source_code_info.location:
        if location.path == path:
            location.ClearField("leading_comments")

    with pytest.raises(SystemExit, match=f"^house.proto: {name} has no comment$"):
        module([file])
