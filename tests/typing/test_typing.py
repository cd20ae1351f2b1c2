"""What must not type-check does not: each marked line is rejected by mypy and by pyright, and no other line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
REJECTED = sorted((HERE / "rejected").glob("*.py"))

Found: TypeAlias = set[tuple[str, int, str]]
"""(path below the root, line from 1, the checker's code)."""


def marked(checker: str) -> Found:
    """What the ``# E: mypy[code] pyright[code]`` comments announce."""
    return {
        (str(path.relative_to(ROOT)), number, code)
        for path in REJECTED
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "# E:" in line
        for code in re.findall(rf"{checker}\[([\w-]+)\]", line.split("# E:")[1])
    }


CHECKED = [HERE / "accepted.py", HERE / "protocol.py", *REJECTED]


def test_every_rejected_file_marks_a_line_for_both_checkers() -> None:
    names = {str(path.relative_to(ROOT)) for path in REJECTED}
    assert len(names) >= 12
    assert {path for path, _, _ in marked("mypy")} == {path for path, _, _ in marked("pyright")} == names


def test_mypy_rejects_exactly_the_marked_lines() -> None:
    # By name: a folder would pass through the exclusions of pyproject.toml.
    command = [sys.executable, "-m", "mypy", "--strict", "--no-pretty", "--show-error-codes", *map(str, CHECKED)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    errors = re.findall(r"^(.+?):(\d+): error: .*\[([\w-]+)\]$", ran.stdout, re.MULTILINE)
    assert {(path, int(line), code) for path, line, code in errors} == marked("mypy"), ran.stdout + ran.stderr


def test_pyright_rejects_exactly_the_marked_lines(tmp_path: Path) -> None:
    # A configuration of its own: that of pyproject.toml excludes these files, also when they are named.
    configuration = tmp_path / "pyrightconfig.json"
    configuration.write_text(
        json.dumps(
            {
                "include": [os.path.relpath(path, tmp_path) for path in CHECKED],
                "extraPaths": [str(ROOT)],
                "typeCheckingMode": "strict",
                "pythonVersion": "3.11",
            }
        )
    )
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]
    command += ["--project", str(configuration)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    report: dict[str, Any] = json.loads(ran.stdout)
    assert report["summary"]["filesAnalyzed"] == len(CHECKED)
    errors = {
        (
            str(Path(problem["file"]).relative_to(ROOT)),
            problem["range"]["start"]["line"] + 1,
            problem.get("rule", problem["message"]),
        )
        for problem in report["generalDiagnostics"]
        if problem["severity"] == "error"
    }
    assert errors == marked("pyright"), ran.stdout
