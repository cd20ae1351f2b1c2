"""Child processes, and those of others that end up with us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# As process 1 would: the orphans of its descendants come to it (prctl(2), PR_SET_CHILD_SUBREAPER = 36).
INIT = """
import ctypes, os, shutil, subprocess, sys, threading, time
from pathlib import Path
from bibd.postgres.account import Account
from bibd.postgres.child import ENVIRONMENT, reap_inherited, run, start_server

assert ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) == 0
server = Path(sys.argv[1]) / "postgres"
shutil.copy(shutil.which("sleep"), server)

def zombies():
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            name, _, rest = (entry / "stat").read_text().rpartition(") ")
            if rest.split()[:2] == ["Z", str(os.getpid())]:
                found.add(name.partition("(")[2])
        except (OSError, ValueError):
            pass
    return found

def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)

account = Account(os.geteuid(), os.getegid(), "", switch=False)
subprocess.run(["/bin/sh", "-c", f"{server} 0.01 & {shutil.which('sleep')} 0.01 &"], check=True)
until(lambda: zombies() == {"postgres", "sleep"})
own = start_server([server, "0"], account=account, cwd=server.parent, log_file=server.with_name("log"))
until(lambda: Path(f"/proc/{own.pid}/stat").read_text().rpartition(") ")[2].startswith("Z"))
reap_inherited()
assert zombies() == {"postgres", "sleep"}  # our own child keeps its exit status, and what is not ours to name stays
assert own.wait() == 0
assert zombies() == {"sleep"}
"""


def test_orphans_of_a_server_that_come_to_us_are_reaped_and_our_own_children_are_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INIT, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
