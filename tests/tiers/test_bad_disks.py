"""A disk that is full, read-only, or can't be mapped, for real: one warning, a count, a finding, and memory goes on."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0,
    reason="mounting needs root and mount namespaces",
)


def on(script: str, folder: Path, disk: Path, ballast: Path = Path("/nonexistent"), mib: int = 16) -> dict[str, Any]:
    """What a node told whose disk is what the script makes of it, in a mount namespace of its own."""
    words = [sys.executable, "-m", "tests.tiers.on_a_bad_disk", str(folder), str(disk), str(ballast), str(mib)]
    shell = ["sh", "-c", f"set -e; {script}\nexec {shlex.join(words)}"]
    namespace = ["unshare", "--mount", "--propagation", "private"] if "mount" in script else []
    done = subprocess.run([*namespace, *shell], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert "Traceback" not in done.stderr
    return told


def told_once(told: dict[str, Any], words: str) -> None:
    assert len(told["events"]) == 1, told["events"]
    (event,) = told["events"]
    assert words in event
    (state, text), *_ = told["findings"]
    assert state == "problem"
    assert words in text
    assert told["warm"], "nobody waits for it"
    assert told["resumes"], "memory goes on"


@needs_mounts
def test_a_full_disk_is_told_once_and_written_to_again_when_there_is_room(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    script = f"mount -t tmpfs -o size=24m tmpfs {place}; dd if=/dev/zero of={place}/ballast bs=1M count=21 status=none"
    told = on(script, tmp_path, place / "t", place / "ballast")
    told_once(told, "No space left on device")
    assert set(told["later"]) == {"note"}, "it is written to again, and is no problem any more"


@needs_mounts
def test_a_read_only_disk_is_told_once(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    script = f"mount -t tmpfs tmpfs {place}; mkdir {place}/t; mount -o remount,ro {place}"
    told_once(on(script, tmp_path, place / "t", mib=17), "Read-only file system")


@needs_mounts
def test_a_file_system_that_takes_no_ordinary_file_is_told_once(tmp_path: Path) -> None:
    """Pages of 2 MB only, which can't be written to: neither LMDB's nor our own files can be there."""
    if "hugetlbfs" not in Path("/proc/filesystems").read_text():
        pytest.skip("NOT TESTED, the kernel has no hugetlbfs")
    place = tmp_path / "disk"
    place.mkdir()
    told_once(on(f"mount -t hugetlbfs none {place}", tmp_path, place / "t", mib=17), "Invalid argument")


def test_a_disk_that_cant_be_mapped_is_told_once(tmp_path: Path) -> None:
    """The system refuses the map: what a file system without mmap answers, and a limit on address space."""
    told_once(on("ulimit -v 16000000", tmp_path, tmp_path / "t", mib=1 << 15), "Cannot allocate memory")
