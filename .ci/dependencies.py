"""Checks what we depend on against `.deny.toml`: licences, banned crates, sources.

It reads the same file as cargo-deny, which says more but takes longer to build than everything else here.
"""

import json
import re
import subprocess
import sys
import tomllib

WORDS = re.compile(r"\(|\)|\bAND\b|\bOR\b|[\w.+-]+(?: WITH [\w.+-]+)?")


def allowed(expression: str, licences: set[str]) -> bool:
    """Returns whether an SPDX expression can be met with these licences."""
    words = WORDS.findall(expression.replace("/", " OR "))
    truth = " ".join({"AND": "and", "OR": "or", "(": "(", ")": ")"}.get(word, str(word in licences)) for word in words)
    return bool(words) and eval(truth, {"__builtins__": {}})  # only True, False, and, or and parentheses are in it


def main() -> int:
    with open(".deny.toml", "rb") as file:
        rules = tomllib.load(file)
    licences = set(rules["licenses"]["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in rules["licenses"].get("exceptions", [])}
    banned = {entry["crate"] for entry in rules["bans"]["deny"]}
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--format-version", "1", "--locked"], check=True, capture_output=True, text=True
        ).stdout
    )
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    problems = []
    packages = [package for package in metadata["packages"] if package["id"] in used]
    for package in packages:
        name, source = f"{package['name']} {package['version']}", package["source"]
        if source is not None and not source.startswith("registry+"):
            problems.append(f"{name} comes from {source}, which is no registry")
        if package["name"] in banned:
            problems.append(f"{name} is banned")
        licence = package["license"] or ""
        if not allowed(licence, licences | exceptions.get(package["name"], set())):
            problems.append(f"{name} has the licence `{licence}`, which is not allowed")
    for problem in problems:
        print(problem)
    print(f"{len(packages)} packages looked at, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
