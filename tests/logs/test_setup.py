"""The daemon's log from set-up to close."""

from __future__ import annotations

import io
import logging
import resource
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from loguru import logger

from bibd.errors import BibdError
from bibd.logs.setup import for_actor
from bibd.logs.sinks import LineFile
from bibd.logs.stdlib import Intercept
from tests.logs.conftest import Log


def test_no_secret_in_message_fields_context_or_exception(log: Log) -> None:
    logs = log.start("json")
    logs.redactor.add("correct horse battery")
    text = "postgresql://u:hunter2@h/d correct horse battery password=hunter2"

    def connect(password: str) -> None:
        raise ConnectionError(f"{text} {len(password)}")

    try:
        connect(text)  # a literal would show as source code in the traceback
    except ConnectionError:
        for_actor(text).bind(password="hunter2", nested={"api_key": "hunter2", "list": [text]}).exception(text)
    logger.info("{password} {}", text, password="password=hunter2")
    logging.getLogger("psycopg.pool").error("failed: %s", text)
    for output in (log.stderr.getvalue(), (log.directory / "bibd.log").read_text()):
        assert output.count("\n") == 3
        assert "hunter2" not in output
        assert "correct horse" not in output


def test_level_changes_while_running_in_both_places_and_for_libraries(log: Log) -> None:
    logs = log.start(level="warning")
    logger.info("a")
    logging.getLogger("library").info("b")
    logs.set_level("debug")
    logger.debug("c")
    logging.getLogger("library").debug("d")
    logs.set_level("error")
    logger.warning("e")
    assert [line["message"] for line in log.file] == ["c", "d"]
    assert log.stderr.getvalue().count("\n") == 2


def test_unknown_level_is_a_configuration_error_that_changes_nothing(log: Log) -> None:
    logs = log.start()
    with pytest.raises(BibdError, match="unknown log level 'loud'") as refused:
        logs.set_level("loud")
    assert refused.value.exit_code == 78
    logger.info("still here")
    assert log.file[0]["message"] == "still here"


def test_library_lines_keep_their_place_and_braces(log: Log) -> None:
    log.start(level="trace")
    library = logging.getLogger("some.library")
    library.warning("braces {} {x} %s", "{y}")
    # Straight to our handler: pytest's own would raise.
    Intercept().emit(logging.LogRecord("some.library", logging.INFO, "f.py", 1, "wrong %d", ("argument",), None))
    library.error("failed", exc_info=OSError("boom"))
    braces, wrong, failed = log.file
    assert braces["message"] == "braces {} {x} {y}"
    assert braces["source"].startswith("some.library:")
    assert "wrong %d" in wrong["message"]
    assert "OSError: boom" in failed["exception"]


def test_chatter_of_the_actor_and_database_libraries_counts_one_level_lower(log: Log) -> None:
    log.start(level="trace")
    # psycopg itself keeps its logger at WARNING, unless somebody has set another level.
    for name in ("pykka", "psycopg.pool", "pykkalike"):
        if name != "psycopg.pool":
            logging.getLogger(name).debug("x")
        logging.getLogger(name).warning("x")
        logging.getLogger(name).critical("x")
    assert [line["level"] for line in log.file] == [
        *("trace", "info", "error"),
        *("info", "error"),
        *("debug", "warning", "critical"),
    ]


def test_file_is_private_appended_to_and_a_torn_line_stays_alone(log: Log) -> None:
    log.start().close()
    path = log.directory / "bibd.log"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b'{"message":"a"}\n{"torn')
    log.start()
    logger.info("b")
    lines = path.read_text().split("\n")
    assert lines[:2] == ['{"message":"a"}', '{"torn']
    assert '"message":"b"' in lines[2]


def test_a_line_cut_off_by_a_full_disk_does_not_swallow_the_next(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "f")
    real = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel writes up to the limit and then fails with EFBIG, as it fails with ENOSPC on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, real[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.write(b"cut off after ten bytes\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, real)
    file.write(b"whole\n")
    file.close()
    assert (tmp_path / "f").read_bytes() == b"cut off af\nwhole\n"


def test_a_full_disk_costs_lines_and_is_told_once(log: Log, tmp_path: Path) -> None:
    log.directory.mkdir()
    logs = log.start("text")
    real = logs._file._descriptor
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 - a device
        logs._file._descriptor = full.fileno()
        logger.info("one")
        logger.info("two")
        logs._file._descriptor = real
    logger.info("three")
    said = log.stderr.getvalue()
    assert said.count("No space left on device") == 1
    assert said.count("works again; 2 log lines are lost") == 1
    assert all(word in said for word in ("one", "two", "three"))
    assert [line["message"] for line in log.file] == ["three"]


def test_a_closed_stderr_never_stops_the_daemon(log: Log) -> None:
    log.start()
    log.stderr.close()
    logger.info("x")
    assert log.file[0]["message"] == "x"
    log.stderr = io.StringIO()


def test_a_directory_that_cannot_be_written_is_named(log: Log, tmp_path: Path) -> None:
    log.directory = tmp_path / "file" / "logs"
    (tmp_path / "file").touch()
    with pytest.raises(BibdError, match=r"cannot open the log file .*bibd\.log: Not a directory"):
        log.start()


def test_close_gives_everything_back(log: Log) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, sys.excepthook, threading.excepthook, warnings.showwarning)
    log.start(level="debug").close()
    log.logs = None
    assert (list(root.handlers), root.level, sys.excepthook, threading.excepthook, warnings.showwarning) == before


PROGRAM = """
import sys, threading, warnings
from pathlib import Path
from bibd.logs.setup import setup
logs = setup(
    level="info", fmt="json", log_dir=Path(sys.argv[1]), redact_fields=[], node="n", stderr=sys.stderr, environ={}
)
def fail(): raise ValueError("password=hunter2 in a thread")
thread = threading.Thread(target=fail); thread.start(); thread.join()
warnings.warn("password=hunter2 in a warning")
raise ValueError("password=hunter2 in main")
"""


def test_uncaught_exceptions_and_warnings_go_to_the_log_without_secrets(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 3
    assert done.stderr.count("***") >= 3
    assert "hunter2" not in done.stderr
    assert '"level":"critical"' in done.stderr


def test_redaction_and_audit_do_not_cost_the_import_of_loguru() -> None:
    program = "import sys, bibd.logs.audit; sys.exit('loguru' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
