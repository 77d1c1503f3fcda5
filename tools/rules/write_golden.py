"""Writes tests/emulator/rules.golden.json: what protovalidate finds wrong with the requests of rule_requests.py."""

import hashlib
import json
from pathlib import Path

from tests.emulator.rule_requests import requests

from .oracle import Oracle

TARGET = Path(__file__).parents[2] / "tests/emulator/rules.golden.json"


def main() -> None:
    oracle = Oracle()
    digest = hashlib.sha256()
    table: dict[tuple[str, str, str], int] = {}
    results: dict[str, list[list[int]]] = {}
    for kind, request in requests():
        digest.update(json.dumps([kind, request]).encode())
        found = [table.setdefault(each, len(table)) for each in _in_maps_last(oracle.violations(kind, request))]
        results.setdefault(kind, []).append(found)
    golden = {"requests": digest.hexdigest(), "violations": list(table), "results": results}
    text = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    TARGET.write_text(text.replace('],["', '],\n["').replace(']],"', ']],\n"') + "\n", "utf-8")
    print(len(text), "bytes,", sum(map(len, results.values())), "requests,", len(table), "violations")


def _in_maps_last(found: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Sort the violations in maps: protobuf does not define the order of map entries, and the file has to be stable."""
    in_maps = sorted(each for each in found if "engine_" in each[0])
    return [each for each in found if "engine_" not in each[0]] + in_maps


if __name__ == "__main__":
    main()
