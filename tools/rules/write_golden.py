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
        found = [table.setdefault(each, len(table)) for each in oracle.violations(kind, request)]
        results.setdefault(kind, []).append(found)
    golden = {"requests": digest.hexdigest(), "violations": list(table), "results": results}
    text = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    TARGET.write_text(text.replace('],["', '],\n["').replace(']],"', ']],\n"') + "\n", "utf-8")
    print(len(text), "bytes,", sum(map(len, results.values())), "requests,", len(table), "violations")


if __name__ == "__main__":
    main()
