"""What is said where a package of an extra is missing: the command that installs it, to be pasted."""


def missing(what: str, package: str, extra: str) -> str:
    """Return that something needs a package that is not installed, and how to install the extra that contains it."""
    return f"{what} needs {package}, which is not installed: pip install 'cwinference[{extra}]'"
