"""Freed memory stays with the process: counted in page faults, not in seconds."""

import os
import platform
import subprocess
import sys

import pytest

ROUND = """
import resource, sys
import numpy as np
if sys.argv[1] == "kept":
    import relvit_lab
def touch():
    return [np.ones(20 * 2**20, np.uint8) for _ in range(4)]  # blocks that glibc would give back when all are freed
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*words: str, **environment: str) -> int:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "THP_"))}
    command = [sys.executable, "-c", ROUND, *words]
    return int(subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_kept_unless_the_user_has_settings():
    kept, given_back = faults("kept"), faults("not")
    assert kept < given_back / 4
    assert faults("kept", MALLOC_TRIM_THRESHOLD_="1000000") > given_back / 2


def test_torchs_large_pages_are_the_users_choice():
    script = "import os, relvit_lab; print(os.environ['THP_MEM_ALLOC_ENABLE'])"
    for given, expected in (({}, "1"), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0")):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("THP_")} | given
        result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert result.stdout.strip() == expected
