"""Copy the google.api protos that ours import from the installed googleapis-common-protos."""

import importlib.util
import shutil
import sys
from pathlib import Path

FILES = ("annotations.proto", "field_behavior.proto", "http.proto")


def main(target: Path) -> None:
    spec = importlib.util.find_spec("google.api")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("googleapis-common-protos is not installed in this environment")
    source = Path(spec.submodule_search_locations[0])
    folder = target / "google" / "api"
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(source / name, folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
