"""Where things live in the data directory: the one place that knows their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataDir:
    """The layout below ``root`` (``server.data_dir``, absolute)."""

    root: Path

    @property
    def identity(self) -> Path:
        return self.root / "identity.pem"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def passwords(self) -> Path:
        """Sealed: bibd.identity.vault."""
        return self.secrets / "db.enc"

    @property
    def recipients(self) -> Path:
        """The public halves of recovery kits, sealed: bibd.identity.recipients."""
        return self.secrets / "recipients.enc"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def postgres_data(self) -> Path:
        return self.postgres / "data"

    @property
    def postgres_certs(self) -> Path:
        return self.postgres / "certs"

    @property
    def postgres_run(self) -> Path:
        """The Unix socket of PostgreSQL."""
        return self.postgres / "run"

    @property
    def postgres_dist(self) -> Path:
        """Copies of server binaries, one folder a version, for an account that cannot reach the originals."""
        return self.postgres / "dist"

    @property
    def service_file(self) -> Path:
        return self.root / "pg_service.conf"

    @property
    def sqlite(self) -> Path:
        return self.root / "cache.db"

    @property
    def restore_points(self) -> Path:
        """Copies of what a migration that is undone has touched."""
        return self.root / "backups" / "restore-points"

    @property
    def admin_socket(self) -> Path:
        return self.root / "admin.sock"

    @property
    def pid_file(self) -> Path:
        return self.root / "bibd.pid"

    @property
    def lock_file(self) -> Path:
        return self.root / "bibd.lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"
