from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bibd.config.load import load
from bibd.config.show import as_json_dict, as_yaml
from tests.config.support import EXAMPLE, load_text

TEXT = """\
log: {redact_fields: [pin, "#x"], level: debug}
server: {shutdown_timeout: 90s, data_dir: "/srv/a b: c"}
database:
  postgres: {cpu_cores: 0.5, settings: {work_mem: 8MB, app.password: hunter2, archive_x: PGPASSWORD=hunter2 x}}
  backup: {rate_limit: 50MB, s3: {access_key_id: hunter2, secret_access_key_file: /hunter2}}
"""


def test_what_is_shown_loads_again_as_the_same(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, "\n".join(line for line in TEXT.splitlines() if "hunter2" not in line))
    for origins in (False, True):
        assert load_text(tmp_path, as_yaml(loaded, origins=origins)).settings == loaded.settings
    example = load(EXAMPLE, {}, {})
    assert load_text(tmp_path, as_yaml(example, origins=False)).settings == example.settings


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20),
    st.floats(min_value=0, max_value=1e6).map(lambda seconds: round(seconds, 4)),
)
def test_any_text_and_duration_shown_loads_again_as_the_same(tmp_path: Path, text: str, seconds: float) -> None:
    flags = {"database.postgres.kubernetes.context": text, "server.drain_timeout": f"{seconds:.4f}s"}
    loaded = load(None, {}, flags)
    assert load_text(tmp_path, as_yaml(loaded, origins=True)).settings == loaded.settings


def test_origins_are_named_beside_each_key(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, TEXT, env={"BIBD_MODE": "selective"}, log__format="json")
    lines = as_yaml(loaded, origins=True).splitlines()
    assert "mode: selective  # environment BIBD_MODE" in lines
    assert f"  level: debug  # file {tmp_path}/config.yaml:1" in lines
    assert "  format: json  # flag" in lines
    assert "  shutdown_timeout: 1m30s" in [line.split("  #")[0] for line in lines]
    assert "  drain_timeout: 10s  # default" in lines
    assert "    rate_limit: 50MB" in as_yaml(loaded, origins=False).splitlines()


def test_secrets_are_hidden_in_both_forms(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, TEXT)
    for shown in (as_yaml(loaded, origins=True), json.dumps(as_json_dict(loaded))):
        assert "hunter2" not in shown
        assert shown.count("***") == 4


def test_json_has_numbers_origins_and_warnings(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, TEXT)
    shown = json.loads(json.dumps(as_json_dict(loaded)))
    assert shown["path"] == f"{tmp_path}/config.yaml"
    assert shown["settings"]["server"]["shutdown_timeout"] == 90.0
    assert shown["settings"]["database"]["backup"]["rate_limit"] == 50 * 2**20
    assert shown["settings"]["log"]["redact_fields"] == ["pin", "#x"]
    assert shown["settings"]["database"]["postgres"]["dsn"] == ""
    assert shown["origin"]["log.level"] == f"file {tmp_path}/config.yaml:1"
    assert len(shown["warnings"]) == len(loaded.warnings) == 4
    assert json.loads(json.dumps(as_json_dict(load(None, {}, {}))))["path"] is None
