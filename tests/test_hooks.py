"""The public names of hooks: what a subclass may leave out, and that the base refuses nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from meshcache.hooks import COUNTS, Crossing, Discovery, Hook, Observer, Resuming, SharingPolicy, Surroundings

CROSSING = Crossing("shop", "shop", "edge-1", "ams1", "edge-2", "fra1", "shop")
RESUMING = Resuming("shop", "shop", "edge-1", True, 1.0, 2.0, False)


def test_what_is_not_defined_changes_nothing() -> None:
    policy, observer = SharingPolicy(), Observer()
    assert policy.may_send(CROSSING)
    assert policy.may_accept(CROSSING)
    assert policy.may_resume(RESUMING)
    policy.ask_again()
    observer.event({})
    observer.counters({})
    Hook().close()
    Discovery().run(Surroundings("edge-1", "ams1", "test", "127.0.0.1:1", str, str))


def test_whoever_drives_a_policy_hears_when_its_answers_changed() -> None:
    policy, heard = SharingPolicy(), []
    policy.when_asked_again(lambda: heard.append(True))
    assert not heard
    policy.ask_again()
    assert heard == [True]
    SharingPolicy().ask_again()
    assert heard == [True], "another one isn't driven by the same"


ROOT = Path(__file__).parent.parent


def test_the_page_is_what_the_code_says() -> None:
    """Else: ``.venv/bin/python tools/write_hooks_page.py``."""
    checked = subprocess.run(
        [sys.executable, "tools/write_hooks_page.py", "--check"], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert checked.returncode == 0, checked.stderr


def test_every_count_is_explained() -> None:
    folders = (ROOT / "meshcache" / room for room in ("plugins", "tiers"))
    sources = "".join(path.read_text() for folder in folders for path in folder.glob("*.py"))
    counted = set(re.findall(r"(?:count|fault|follows|_rest)\(\s*\"(\w+)\"", sources)) | {"hits", "misses", "written"}
    counted |= {f"refused_{reason}" for reason in re.findall(r"(?:RefusedError|SealError)\(\"(\w+)\"\)", sources)}
    assert counted >= {"calls", "raised", "slow", "refused_forged", "refused_clock"}
    assert counted | {"refused_send", "refused_accept"} == set(COUNTS)
