"""Completion in a real bash, and the scripts of the other shells."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def run(*command: str) -> str:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


COMPLETE = """
eval "$(meshcache completion bash)"
COMP_WORDS=({words}) COMP_CWORD={at}
_meshcache_completion meshcache
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    "words, completed",
    [
        (("meshcache", "st"), {"stats"}),
        (("meshcache", "policy", "e"), {"explain"}),
        (("meshcache", "stats", "--m"), {"--mesh"}),
        (("meshcache", "docs", "watch"), {"watching"}),
        (("meshcache", "completion", ""), {"bash", "zsh", "fish"}),
    ],
)
def test_bash_completes(words: tuple[str, ...], completed: set[str]) -> None:
    script = COMPLETE.format(words=" ".join(map(shlex.quote, words)), at=len(words) - 1)
    assert set(run("bash", "--norc", "-c", script).split()) == completed


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_too(shell: str) -> None:
    assert "_MESHCACHE_COMPLETE" in run("meshcache", "completion", shell)
