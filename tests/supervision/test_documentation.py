"""The example in docs/supervision.md is what it says: complete, and running."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "supervision.md"


def test_the_documented_example_runs_as_it_stands(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    example = tmp_path / "example.py"
    example.write_text(code)
    ran = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    # Two threads print, so a line may begin where another's newline is still to come.
    assert ran.stdout.startswith("root/counter starting\n")
    assert "total: 42" in ran.stdout
    assert "the counter stops at 42: stopped" in ran.stdout
    assert re.findall(r"root/(\w+) stopping", ran.stdout) == ["reporter", "counter"]
