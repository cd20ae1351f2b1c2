from __future__ import annotations

import difflib
import json
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bibd.config import document, fields, sources
from bibd.config.load import load
from bibd.config.model import Settings
from bibd.config.problems import SHOWN
from bibd.config.show import as_yaml
from bibd.errors import ConfigError
from tests.config.support import EXAMPLE, leaves, load_text, refusal

# PyYAML has libyaml's only where it was built with it; the other quotes from the text in its errors.
LOADERS = (yaml.CSafeLoader, yaml.SafeLoader)


def test_without_any_source_the_settings_are_the_defaults() -> None:
    loaded = load(None, {}, {})
    assert (loaded.settings, loaded.path, loaded.origin, loaded.warnings) == (Settings(), None, {}, ())


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "---\n", "{}", "null", "server:\ndatabase:\n  postgres:\n"]
)
def test_empty_files_and_sections_are_the_defaults(tmp_path: Path, text: str) -> None:
    assert load_text(tmp_path, text).settings == Settings()


def test_flags_win_over_environment_over_file_over_defaults_and_origin_says_so(tmp_path: Path) -> None:
    text = "log:\n  level: debug\n  format: json\nmode: selective\nserver: {drain_timeout: 1s}\n"
    env = {"BIBD_LOG__LEVEL": "error", "BIBD_MODE": "proxy", "BIBD_DATABASE__BACKEND": "sqlite"}
    loaded = load_text(tmp_path, text, env=env, mode="selective", log__dir=None)
    assert loaded.settings.mode == "selective"
    assert loaded.settings.log.level == "error"
    assert loaded.settings.log.format == "json"
    assert loaded.settings.server.drain_timeout == 1.0
    assert loaded.settings.server.shutdown_timeout == 30.0
    assert loaded.origin == {
        "mode": "flag",
        "log.level": "environment BIBD_LOG__LEVEL",
        "log.format": f"file {tmp_path}/config.yaml:3",
        "server.drain_timeout": f"file {tmp_path}/config.yaml:5",
        "database.backend": "environment BIBD_DATABASE__BACKEND",
    }


def test_every_key_can_be_set_in_the_environment() -> None:
    shown = as_yaml(load(EXAMPLE, {}, {}), origins=False)
    env = {
        sources.variable(key): json.dumps(value) if not isinstance(value, str) else value
        for key, value in leaves(yaml.safe_load(shown), set(fields.fields())).items()
    }
    loaded = load(None, env, {})
    assert loaded.settings == Settings()
    assert loaded.origin.keys() == fields.fields().keys()


def test_environment_values_are_text_where_the_key_is_text_and_yaml_elsewhere(tmp_path: Path) -> None:
    env = {
        "BIBD_DATABASE__POSTGRES__PORT": "5433",
        "BIBD_DATABASE__POSTGRES__IMAGE": "123",
        "BIBD_DATABASE__POSTGRES__SETTINGS": "{work_mem: 8MB, fsync: off}",
        "BIBD_DATABASE__POSTGRES__TLS__ENABLED": "false",
        "BIBD_LOG__REDACT_FIELDS": '["pin", "otp"]',
        "BIBD_SERVER__DRAIN_TIMEOUT": "500ms",
        "BIBD_SERVER__DATA_DIR": "~/d",
        "HOME": "/home/ada",
    }
    found = load(None, env, {}).settings
    assert found.database.postgres.port == 5433
    assert found.database.postgres.image == "123"
    assert found.database.postgres.settings == {"work_mem": "8MB", "fsync": False}
    assert found.database.postgres.tls.enabled is False
    assert found.log.redact_fields == ("pin", "otp")
    assert found.server.drain_timeout == 0.5
    assert found.server.data_dir == "/home/ada/d"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BIBD_SERVER__DATADIR", "/x", "unknown variable; did you mean BIBD_SERVER__DATA_DIR?"),
        ("BIBD_SERVER_DATA_DIR", "/x", "unknown variable; did you mean BIBD_SERVER__DATA_DIR?"),
        ("BIBD_CONFIGURATION", "/x", "unknown variable; did you mean BIBD_CONFIG?"),
        ("BIBD_ZZZZZZZZZZ", "/x", "unknown variable"),
        ("BIBD_SERVER", "{}", "is a section: set BIBD_SERVER__<KEY>"),
        ("BIBD_DATABASE__POSTGRES__PORT", "many", 'database.postgres.port: must be a whole number, not "many"'),
        ("BIBD_DATABASE__POSTGRES__PORT", "", "database.postgres.port: must be a whole number, not empty"),
        ("BIBD_DATABASE__POSTGRES__PORT", "[1", "is not valid YAML"),
        ("BIBD_DATABASE__POSTGRES__PORT", "*a", "YAML aliases"),
        ("BIBD_SERVER__DATA_DIR", "/x\udcff", "is not UTF-8 text"),
    ],
)
def test_wrong_variables_are_named(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {name: value}, {})
    assert caught.value.message.startswith(f"environment {name}: {said}")
    assert len(caught.value.message.splitlines()) == 1


def test_reserved_variables_are_left_alone() -> None:
    env = {"BIBD_CONFIG": "/x", "BIBD_TEST_IMAGE": "y", "BIB": "z", "XBIBD_MODE": "proxy"}
    assert load(None, env, {}).settings == Settings()


def test_wrong_flags_are_named() -> None:
    with pytest.raises(ConfigError, match=r"flag: server\.data_dirr: unknown key; did you mean server\.data_dir\?"):
        load(None, {}, {"server.data_dirr": "/x"})
    with pytest.raises(ConfigError, match=r"flag: database\.postgres\.port: must be at most 65535, not 70000"):
        load(None, {}, {"database.postgres.port": 70000})


def test_flags_may_be_paths_lists_and_text() -> None:
    flags = {"server.data_dir": Path("/x"), "log.redact_fields": ["pin"], "database.postgres.port": "0"}
    found = load(None, {}, flags).settings
    assert (found.server.data_dir, found.log.redact_fields, found.database.postgres.port) == ("/x", ("pin",), 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server:\n  data_dirr: /x", "2: server.data_dirr: unknown key; did you mean server.data_dir?"),
        ("databse:\n  backend: sqlite", "1: databse: unknown key; did you mean database?"),
        ("backend: sqlite", "1: backend: unknown key; did you mean database.backend?"),
        ("\nqqqqqqqqqqqq: 1", "2: qqqqqqqqqqqq: unknown key"),
        ("server.data_dir: /x", "1: server.data_dir: unknown key"),
        ('"a\\nb\\e[31m": 1', "1: a\\nb\\x1b[31m: unknown key"),
        ("server: [a]", "1: server is a section: write its keys below it"),
        ("server:\n  data_dir: {a: b}", "2: server.data_dir: must be text"),
        ("- a", ": must be keys and values"),
        ("mode", ": must be keys and values"),
        ("mode: full\nlog: {level: info}\nmode: proxy", '3: "mode" is given twice: first in line 1'),
        ("database: {postgres: {settings: {\n a: 1,\n a: 2}}}", '3: "a" is given twice: first in line 2'),
        ("? [a, b]\n: 1", "1: a key must be a name"),
        ("mode: [full\n", "2:1: is not valid YAML"),
        ("log:\n\tlevel: info", "2:1: is not valid YAML"),
        ("mode: full\n---\nmode: proxy", "2:1: is not valid YAML"),
        ("mode: \x07", ": holds characters that YAML does not allow"),
        ("mode: !full x", "1: YAML tags"),
        ("log: {redact_fields: !!set {a}}", "1: YAML tags"),
        ("mode: !!python/name:os.system x", "1: YAML tags"),
        ("a: &a [x]\nb: [*a]", "2: YAML aliases"),
        ("log: {<<: {level: info}}", "1: log.<<: unknown key"),
        ("log: {redact_fields: " + "[" * 30 + "]" * 30 + "}", "1: is nested more than 16 levels deep"),
        ("mode: on", "1: mode: must be full, selective or proxy, not true"),
        ("database: {postgres: {port: 010}}", '1: database.postgres.port: must be a whole number, not "010"'),
        ("database: {postgres: {port: 0x10}}", '1: database.postgres.port: must be a whole number, not "0x10"'),
        ("database: {postgres: {port: '1'}}", '1: database.postgres.port: must be a whole number, not "1"'),
        ("database: {postgres: {port: -1}}", "1: database.postgres.port: must be at least 0, not -1"),
        ("database: {postgres: {port: 1.5}}", "1: database.postgres.port: must be a whole number, not 1.5"),
        ("database: {postgres: {port: }}", "1: database.postgres.port: must be a whole number, not empty"),
        ("database: {postgres: {cpu_cores: .inf}}", '1: database.postgres.cpu_cores: must be a number, not ".inf"'),
        ("database: {postgres: {cpu_cores: 0}}", "1: database.postgres.cpu_cores: must be more than 0"),
        ("database: {postgres: {stop_on_shutdown: 1}}", "1: database.postgres.stop_on_shutdown: must be true or false"),
        ("database: {postgres: {settings: 5}}", "1: database.postgres.settings: must be a mapping"),
        ("database: {postgres: {tls: {enabled: maybe}}}", "1: database.postgres.tls.enabled: must be auto, true"),
        ("database: {postgres: {health: {interval: 0s}}}", "1: database.postgres.health.interval: must be more than 0"),
        ("database: {postgres: {health: {action: pray}}}", "1: database.postgres.health.action: must be retry_limit,"),
        ("database: {migrations: {table: a-b}}", "1: database.migrations.table: must be a plain SQL name"),
        ("database: {backup: {schedule: often}}", "1: database.backup.schedule: must be a cron line"),
        ("database: {backup: {retention_days: 0}}", "1: database.backup.retention_days: must be at least 1, not 0"),
        ("database: {backup: {rate_limit: 0}}", "1: database.backup.rate_limit: must be more than 0"),
        ("database: {backup: {rate_limit: fast}}", '1: database.backup.rate_limit: "fast" is not a size'),
        ("log: {redact_fields: secret}", "1: log.redact_fields: must be a list"),
        ("log:\n  redact_fields:\n    - a\n    - 3", "4: log.redact_fields.1: must be text"),
        ("log: {redact_fields: ['']}", "1: log.redact_fields.0: must not be empty"),
        ("server: {shutdown_timeout: 30}", "1: server.shutdown_timeout: 30 has no unit: write 30s"),
        ("server: {shutdown_timeout: 1:30}", '1: server.shutdown_timeout: "1:30" is not a duration'),
        ("server: {shutdown_timeout: }", "1: server.shutdown_timeout: must be a duration"),
        ("server: {data_dir: d}", "1: server.data_dir: must be an absolute path, or start with ~/"),
        ("server: {data_dir: ~/d}", '1: server.data_dir: "~/d" starts with ~, but'),
    ],
)  # fmt: skip
def test_each_problem_is_one_line_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    message = refusal(tmp_path, text).message
    assert message.startswith(f"config.yaml{said}" if said.startswith(":") else f"config.yaml:{said}")
    assert len(message.splitlines()) == 1


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    postgres = "    dsn: x\n    port: 99999\n    settings: {Port: 1, SSL: on}\n"
    text = f"mode: fulll\nsevrer: {{}}\ndatabase:\n  postgres:\n{postgres}"
    error = refusal(tmp_path, text, env={"BIBD_LOG__LEVEL": "loud"})
    assert error.message.splitlines() == [
        "the configuration has 7 problems:",
        'config.yaml:1: mode: must be full, selective or proxy, not "fulll"',
        "config.yaml:2: sevrer: unknown key; did you mean server?",
        "config.yaml:5: database.postgres.dsn: an external PostgreSQL server is not available yet: "
        'it may only be "" now',
        "config.yaml:6: database.postgres.port: must be at most 65535, not 99999",
        "config.yaml:7: database.postgres.settings.Port: is set by bibd: use database.postgres.port",
        "config.yaml:7: database.postgres.settings.SSL: is set by bibd: use database.postgres.tls",
        'environment BIBD_LOG__LEVEL: log.level: must be trace, debug, info, warning, error or critical, not "loud"',
    ]
    assert "config.example.yaml" in error.hint


def test_a_file_of_garbage_gives_a_short_error(tmp_path: Path) -> None:
    with patch("difflib.get_close_matches", wraps=difflib.get_close_matches) as guesses:
        error = refusal(tmp_path, "".join(f"k{number}: x\n" for number in range(2000)))
    assert guesses.call_count == SHOWN  # a guess costs a millisecond
    assert len(error.message.splitlines()) == SHOWN + 2
    assert error.message.endswith("... and 1950 more")


@pytest.mark.parametrize(
    "text",
    [
        "database: {postgres: {dsn: 'postgres://u:hunter2@h/d'}}",
        "database: {postgres: {dsn: [hunter2]}}",
        "database: {postgres: {dsn: hunter2, dsn: hunter2}}",
        "database: {postgres: {settings: {ssl_passphrase_command: hunter2}}}",
        "database: {postgres: {settings: {app.token: [hunter2]}}}",
        "database: {backup: {s3: {secret_access_key_file: hunter2}}}",
        "database: {backup: {s3: {access_key_id: 'hunter2\\n'}}}",
        'database: {backup: {s3: {access_key_id: "hunter2\\x07"}}}',
        "p2p: {psk_file: hunter2}",
        "password: hunter2",
        "server: {password: hunter2}",
        "log: {level: 'http://u:hunter2@h'}",
        "log: {level: password=hunter2}",
        "database:\n  password: *hunter2",
        "database:\n  password: !hunter2!x y",
        "database:\n  password: !hunter2 y",
        "database:\n  password: 'hunter2\n  x: [",
    ],
)
@pytest.mark.parametrize("loader", LOADERS)
def test_secrets_never_appear_in_errors(
    tmp_path: Path, text: str, loader: type[yaml.SafeLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "_LOADER", loader)
    try:
        loaded = load_text(tmp_path, text)
    except ConfigError as error:
        assert "hunter2" not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None
    else:
        assert all("hunter2" not in warning for warning in loaded.warnings)


def test_an_error_in_a_list_of_the_file_that_the_environment_replaces_has_the_variables_place(tmp_path: Path) -> None:
    error = refusal(tmp_path, "log:\n  redact_fields:\n    - a\n", env={"BIBD_LOG__REDACT_FIELDS": "[3]"})
    assert error.message.startswith("environment BIBD_LOG__REDACT_FIELDS: log.redact_fields.0: must be text")


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbfmode: proxy\r\ndatabase:\r\n  backend: sqlite\r\n")
    loaded = load(path, {}, {})
    assert (loaded.settings.mode, loaded.settings.database.backend) == ("proxy", "sqlite")
    assert loaded.origin["database.backend"] == f"file {path}:3"


NAMES = [*fields.fields(), *(section for section in fields.sections() if section)]
WORDS = [*sorted({name for key in NAMES for name in key.split(".")}), "x", "'", '"', "&a", "*a", "!t", "---", "~", "\t"]
SCALARS = st.sampled_from(["", "true", "0", "30s", "10GB", "[a]", "{a: b}", "full", "sqlite", "1e9", "* * * * *", "/x"])
INDENTS = st.sampled_from(["", "  ", "    ", "      "])
LINES = st.tuples(INDENTS, st.sampled_from(WORDS), st.sampled_from([": ", ":", " ", ":\n"]), SCALARS).map("".join)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.binary(max_size=200)
    | st.lists(LINES, max_size=12).map("\n".join).map(str.encode)
    | st.text().map(lambda text: text.encode())
)
@pytest.mark.parametrize("loader", LOADERS)
def test_any_file_either_loads_or_raises_a_config_error(
    tmp_path: Path, content: bytes, loader: type[yaml.SafeLoader]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    try:
        with patch.object(document, "_LOADER", loader):
            loaded = load(path, {"HOME": "/home/ada"}, {})
    except ConfigError as error:
        assert str(path) in error.message
        assert error.exit_code == 78
    else:
        assert isinstance(loaded.settings, Settings)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(NAMES).map(sources.variable) | st.text().map("BIBD_{}".format), st.text() | SCALARS, max_size=4
    )
)
def test_any_environment_either_loads_or_raises_a_config_error(env: dict[str, str]) -> None:
    try:
        load(None, env, {})
    except ConfigError as error:
        assert "BIBD_" in error.message or "SQLite" in error.message
