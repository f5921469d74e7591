"""Checks what we depend on against `.deny.toml`: licences, banned crates, sources. It reads the same file as cargo-deny, which
says more but takes longer to build than everything else here.

Checks our own crates, too: which may depend on which, that none is too large to be known by one reader, and that each says what
it guarantees and what it does not know.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

WORDS = re.compile(r"\(|\)|\bAND\b|\bOR\b|[\w.+-]+(?: WITH [\w.+-]+)?")
# The most lines of Rust that a crate has in `src`, but for the program itself and for files of tests alone.
CRATE_LINES_MAX = 4500
# Above all services: it may depend on each of them.
ABOVE_ALL = "embedded"
# What only tests depend on.
TEST_ONLY = {"simulation", "test-support"}


def allowed(expression: str, licences: set[str]) -> bool:
    """Returns whether an SPDX expression can be met with these licences."""
    words = WORDS.findall(expression.replace("/", " OR "))
    truth = " ".join({"AND": "and", "OR": "or", "(": "(", ")": ")"}.get(word, str(word in licences)) for word in words)
    return bool(words) and eval(truth, {"__builtins__": {}})  # only True, False, and, or and parentheses are in it


def crates(packages: list[dict]) -> list[str]:
    """Returns what is wrong with our crates below `services` and `cli/libs`, whose folder says which are services."""
    root, problems = pathlib.Path.cwd(), []
    folders = {package["name"]: pathlib.Path(package["manifest_path"]).parent for package in packages}
    roots = {root / "services", root / "cli/libs"}
    folders = {name: folder for name, folder in folders.items() if roots & set(folder.parents)}
    services = {name for name, folder in folders.items() if folder.parent == root / "services"}
    for package in (package for package in packages if package["name"] in folders):
        name, folder = package["name"], folders[package["name"]]
        # What tests use may be more: cargo itself refuses cycles of all else.
        used = {one["name"] for one in package["dependencies"] if one["kind"] is None}
        for other in sorted(used & services) if name not in {ABOVE_ALL, *TEST_ONLY} else []:
            problems.append(f"{name} depends on the service {other}: only {ABOVE_ALL} may")
        for other in sorted(used & TEST_ONLY) if name not in TEST_ONLY else []:
            problems.append(f"{name} depends on {other}, which is for tests")
        files = [file.relative_to(folder) for file in (folder / "src").rglob("*.rs")]
        files = [(folder / file).read_text() for file in files if not {"tests", "tests.rs"} & set(file.parts)]
        lines = sum(text.count("\n") for text in files)
        if lines > CRATE_LINES_MAX:
            problems.append(f"{name} has {lines} lines, more than {CRATE_LINES_MAX}")
        begin = "".join((folder / "src/lib.rs").read_text().splitlines(keepends=True)[:10])
        for what in ["Guarantees", "not know"]:
            if what not in begin:
                problems.append(f"{name}: the first ten lines of its lib.rs should say `{what}`")
    return problems


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
    problems += crates(packages)
    for problem in problems:
        print(problem)
    print(f"{len(packages)} packages looked at, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
