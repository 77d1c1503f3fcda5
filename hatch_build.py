"""The README inside of packages: on a package index there are no files next to it that its links could lead to."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ReadmeHook(MetadataHookInterface):
    """Puts the README into the package's metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README, with links that work wherever it is shown."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_index(text, repository)}


def for_index(text: str, repository: str | None) -> str:
    """Return the README with absolute links to files of the repository; without links as long as its URL is not set."""
    target = rf"[\1]({repository.rstrip('/')}/blob/main/\2)" if repository else r"\1"
    return re.sub(r"\[([^\]]+)\]\((?![a-z]+:|#)([^)]+)\)", target, text)
