"""The configuration as typed, frozen models: every key, its type and its default.

What each key means is said once, in ``config.example.yaml``. Durations are seconds, sizes are bytes, ``""`` is
"not set". A key whose capability does not exist yet has its off value as default (``bibd.config.unbuilt``).
No validator here looks at two keys: ``load`` drops what is wrong and still checks the rest.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bibd.config.owned_settings import ServerSettings
from bibd.config.values import (
    DEFAULT_SCHEDULE,
    Cron,
    Duration,
    FilePath,
    Host,
    Identifier,
    Name,
    Port,
    Rate,
    Size,
    Text,
    Timeout,
    Timezone,
)

Mode = Literal["full", "selective", "proxy"]
Backend = Literal["postgres", "sqlite"]
LogLevel = Literal["trace", "debug", "info", "warning", "error", "critical"]
Runtime = Literal["", "docker", "podman", "kubernetes", "embedded"]
HealthAction = Literal["retry_limit", "retry_always", "shutdown"]
AutoBool = Literal["auto", True, False]


class Section(BaseModel):
    # Deferred: the sections are compiled once, inside Settings. Errors never print input: it may be a secret.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
    )


class Server(Section):
    data_dir: FilePath = ""
    shutdown_timeout: Timeout = 30.0
    drain_timeout: Duration = 10.0
    pid_file: FilePath = ""


class Log(Section):
    level: LogLevel = "info"
    format: Literal["auto", "text", "json"] = "auto"
    dir: FilePath = ""
    redact_fields: tuple[Name, ...] = ("password", "token", "key", "secret")


class Admin(Section):
    socket: FilePath = ""


class GatewayHttp(Section):
    enabled: bool = False
    host: Host = "127.0.0.1"
    port: Port = 8080
    tls: bool = False


class GatewayGrpc(Section):
    enabled: bool = False
    host: Host = "127.0.0.1"
    port: Port = 8081
    tls: bool = False


class Gateway(Section):
    http: GatewayHttp = GatewayHttp.model_construct()
    grpc: GatewayGrpc = GatewayGrpc.model_construct()


class Sqlite(Section):
    path: FilePath = ""
    max_open_conns: Annotated[int, Field(ge=1, le=1000)] = 10


class Health(Section):
    interval: Timeout = 5.0
    timeout: Timeout = 5.0
    startup_timeout: Timeout = 60.0
    action: HealthAction = "retry_limit"
    max_retries: Annotated[int, Field(ge=0)] = 5
    retry_backoff: Timeout = 10.0


class Tls(Section):
    enabled: AutoBool = "auto"
    cert_dir: FilePath = ""
    auto_generate: bool = True


class Network(Section):
    use_bridge_network: bool = True
    bridge_network_name: Name = "bibd-network"
    use_unix_socket: bool = True


class Kubernetes(Section):
    kubeconfig_path: FilePath = ""
    context: Text = ""
    namespace: Name = "bibd"
    storage_class: Text = ""
    storage_size: Size = 10 * 2**30


class Postgres(Section):
    managed: bool = True
    container_runtime: Runtime = ""
    socket_path: FilePath = ""
    image: Name = "postgres:16-alpine"
    bin_dir: FilePath = ""
    data_dir: FilePath = ""
    bind_address: Host = "127.0.0.1"
    port: Port = 5432
    # At least bibd's own few beside the reserved ones; 262143 is PostgreSQL's MAX_BACKENDS.
    max_connections: Annotated[int, Field(ge=10, le=262143)] = 100
    memory_mb: Annotated[int, Field(ge=64, le=2**26)] = 512
    cpu_cores: Annotated[float, Field(gt=0, le=4096)] = 1.0
    settings: ServerSettings = {}
    stop_on_shutdown: bool = False
    checkpoint_on_shutdown: bool = True
    credential_rotation_interval: Duration = 0.0
    rotation_grace_period: Duration = 300.0
    network: Network = Network.model_construct()
    health: Health = Health.model_construct()
    tls: Tls = Tls.model_construct()
    kubernetes: Kubernetes = Kubernetes.model_construct()
    dsn: Text = ""


class Migrations(Section):
    path: FilePath = ""
    table: Identifier = "schema_migrations"
    lock_timeout: Timeout = 5.0
    auto: bool = True


class S3(Section):
    endpoint: Text = ""
    bucket: Text = ""
    region: Text = ""
    prefix: Text = ""
    access_key_id: Text = ""
    secret_access_key_file: FilePath = ""
    use_ssl: bool = True


class RestoreTest(Section):
    schedule: Cron = ""
    queries: tuple[str, ...] = ()


class Backup(Section):
    enabled: bool = False
    schedule: Cron = DEFAULT_SCHEDULE
    timezone: Timezone = ""
    type: Literal["auto", "logical", "full", "incremental", "snapshot"] = "auto"
    location: Literal["local", "s3"] = "local"
    local_path: FilePath = ""
    s3: S3 = S3.model_construct()
    replicas: tuple[Name, ...] = ()
    compression: Literal[True, False, "gzip", "zstd", "lz4", "none"] = True
    compression_level: Annotated[int, Field(ge=0, le=22)] | None = None
    encryption: bool = True
    retention_days: Annotated[int, Field(ge=1)] = 30
    max_backups: Annotated[int, Field(ge=1)] = 7
    wal_archiving: bool = False
    verify_after_backup: bool = True
    rate_limit: Rate | None = None
    restore_test: RestoreTest = RestoreTest.model_construct()


class Database(Section):
    backend: Backend = "postgres"
    sqlite: Sqlite = Sqlite.model_construct()
    postgres: Postgres = Postgres.model_construct()
    migrations: Migrations = Migrations.model_construct()
    backup: Backup = Backup.model_construct()


class P2p(Section):
    enabled: bool = False
    listen: tuple[Name, ...] = ("/ip4/127.0.0.1/tcp/4001",)
    bootstrap: tuple[Name, ...] = ()
    mdns: bool = False
    dht: bool = False
    psk_file: FilePath = ""
    quota: Size = 10 * 2**30


class Etcd(Section):
    managed: bool = True
    endpoints: tuple[Name, ...] = ()


class Replication(Section):
    enabled: bool = False
    synchronous: bool = True


class Cluster(Section):
    enabled: bool = False
    name: Name = "bib-cluster"
    etcd: Etcd = Etcd.model_construct()
    replication: Replication = Replication.model_construct()


class Settings(Section):
    """The whole configuration. ``Settings()`` is the defaults."""

    mode: Mode = "full"
    server: Server = Server.model_construct()
    log: Log = Log.model_construct()
    admin: Admin = Admin.model_construct()
    gateway: Gateway = Gateway.model_construct()
    database: Database = Database.model_construct()
    p2p: P2p = P2p.model_construct()
    cluster: Cluster = Cluster.model_construct()
