"""What a task of Ray has raised, without what Ray adds to it."""

import errno
import os

import pytest

from cwinference import errors
from cwinference.ray._batch import _cause

ADVICE = "Failed to apply UDF transform after 1/1 attempts (total backoff 0.0s)."


class RayTaskError(Exception):
    """An error of Ray's, in which the one that a task has raised is."""

    def __init__(self, cause: Exception | None) -> None:
        self.cause = cause


def test_an_error_of_a_task_is_the_cause_of_that_of_ray() -> None:
    error = errors.NotFound("no such gateway")
    lost = RayTaskError(None)

    assert _cause(RayTaskError(RayTaskError(error)), "out") is error
    assert _cause(lost, "out") is lost


@pytest.mark.parametrize(
    ("strerror", "path"),
    [(os.strerror(errno.ENOSPC), "out"), ("Failed to open local file '/in.jsonl'", None)],
    ids=["of-the-system", "with-its-own-words"],
)
def test_an_error_of_the_disk_names_the_folder_instead_of_the_settings_of_ray(strerror: str, path: str | None) -> None:
    error = OSError(errno.ENOSPC, strerror)
    error.args = (*error.args, ADVICE)  # as Ray does it
    made = error.__reduce__()

    cause = _cause(RayTaskError(OSError(*made[1])), "out")

    assert isinstance(cause, OSError)
    assert (cause.errno, cause.strerror, cause.filename) == (errno.ENOSPC, strerror, path)


def test_an_error_of_an_object_store_has_only_its_own_words() -> None:
    cause = _cause(RayTaskError(OSError(f"AWS Error ACCESS_DENIED\n{ADVICE}")), "s3://bucket/out")

    assert isinstance(cause, OSError)
    assert str(cause) == "AWS Error ACCESS_DENIED"
