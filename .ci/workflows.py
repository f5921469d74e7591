"""Checks `.github/workflows` and `.github/actions`: that each can be read, what it may do, that nothing in it can be exchanged by others, and that it
calls chefcito as chefcito can be called.

Usage: workflows.py CHEFCITO, the program whose `--help` is asked.
"""

import functools
import pathlib
import re
import shlex
import subprocess
import sys

import yaml

FOLDER = pathlib.Path(".github/workflows")
ACTIONS = pathlib.Path(".github/actions")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} +# v\d+\.\d+\.\d+$")
# What a shell has between two commands, beside signs.
BETWEEN = {"then", "do", "else", "if", "while", "!"}


def main(chefcito: str) -> int:
    problems, actions, calls = [], 0, 0
    files = sorted([*FOLDER.glob("*.y*ml"), *ACTIONS.glob("*/action.yml")])
    for file in files:
        text = file.read_text()
        try:
            workflow = yaml.safe_load(text)
        except yaml.YAMLError as error:
            problems.append(f"{file}: it can't be read: {error}")
            continue
        for number, line in enumerate(text.splitlines(), 1):
            _, found, what = line.partition("uses: ")
            actions += bool(found)
            if found and not is_ours(what) and not PINNED.fullmatch(what):
                problems.append(f"{file}:{number}: `{what}` should be OWNER/NAME@COMMIT # vX.Y.Z, with all 40 digits")
        # An action has what its caller has: permissions and time.
        is_action = "runs" in workflow
        if not is_action and "permissions" not in workflow:
            problems.append(f"{file}: it should say which permissions it needs, for want of which it gets many")
        for name, job in {"runs": workflow["runs"]}.items() if is_action else workflow["jobs"].items():
            if not is_action and "uses" not in job and "timeout-minutes" not in job:
                problems.append(f"{file}: job `{name}` should have timeout-minutes: nothing waits for ever")
            for script in [step["run"] for step in job.get("steps", []) if "run" in step]:
                if "${{" in script:
                    problems.append(f"{file}: job `{name}`: what `${{{{ … }}}}` means becomes part of a script; put it into `env`")
                for words in commands(script):
                    calls += 1
                    problems += [f"{file}: job `{name}`: {why}" for why in misused(chefcito, words)]
    for problem in problems:
        print(problem)
    print(f"{len(files)} workflows and actions of ours, {actions} actions and workflows used, {calls} calls of chefcito, {len(problems)} problems")
    return 1 if problems or not files else 0


def is_ours(what: str) -> bool:
    """Returns whether it is a workflow of this checkout, which comes with the same commit."""
    return what.startswith("./") and (pathlib.Path(what).is_file() or pathlib.Path(what, "action.yml").is_file())


def commands(script: str) -> list[list[str]]:
    """Returns the arguments of each call of chefcito in a script."""
    script = re.sub(r"(?m)(^|\s)#.*$", "", script.replace("\\\n", " "))
    lexer = shlex.shlex(script, posix=True, punctuation_chars=";&|()<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words = list(lexer)
    ends = [is_between(word) for word in words] + [True]
    found = []
    for at, word in enumerate(words):
        if pathlib.PurePosixPath(word).name == "chefcito" and (at == 0 or ends[at - 1]):
            found.append(words[at + 1 : ends.index(True, at)])
    return found


def is_between(word: str) -> bool:
    return word in BETWEEN or all(sign in ";&|()<>\n" for sign in word)


def misused(chefcito: str, words: list[str]) -> list[str]:
    """Returns what is wrong with the arguments of one call."""
    if not words or words[0].startswith("-"):
        return [] if words in (["--version"], ["--help"]) else [f"`chefcito {' '.join(words)}` should begin with a command"]
    text = help_of(chefcito, words[0])
    if text is None:
        return [f"chefcito has no command `{words[0]}`"]
    flags = [word.partition("=")[0] for word in words[1:] if word.startswith("--") and word != "--"]
    return [f"`chefcito {words[0]}` has no flag `{flag}`" for flag in flags if not re.search(rf"{flag}(?![\w-])", text)]


@functools.cache
def help_of(chefcito: str, command: str) -> str | None:
    asked = subprocess.run([chefcito, command, "--help"], capture_output=True, text=True)
    return asked.stdout if asked.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
