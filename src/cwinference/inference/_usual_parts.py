"""What is usually asked of completions: the text, why it ended, the usage. It is read without the rest of their JSON.

The types are what all servers send. Where one sends anything else, and where there are several choices or an error, the
JSON is read as a whole, by `_responses.py`, which decides what it means.
"""

from typing import Any

from .._json import part, part_reader


@part
class _Content:
    """A message, or the new part of one."""

    content: str | None = None


@part
class ChunkChoice:
    """A choice of a chunk."""

    index: int | None = 0
    delta: _Content | None = None
    text: str | None = None
    finish_reason: str | None = None


@part
class _Chunk:
    choices: list[ChunkChoice]
    usage: dict[str, Any] | None = None
    error: None = None


@part
class _CompletionChoice:
    message: _Content | None = None
    text: str | None = None
    finish_reason: str | None = None


@part
class UsualCompletion:
    """A whole completion."""

    choices: list[_CompletionChoice]
    usage: dict[str, Any] | None = None
    error: None = None


read_chunk = part_reader(_Chunk)
read_completion = part_reader(UsualCompletion)
