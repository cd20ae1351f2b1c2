"""A start pays for what it needs: the key pair of backups and kits comes later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

START = """
import sys
from pathlib import Path
import actors.app
from bibd.admin.recovery_kits import recovery_kit_methods
from bibd.datadir import DataDir
from bibd.identity import vault
print("composed", *sorted(sys.modules))
data = DataDir(Path(sys.argv[1]))
data.secrets.mkdir(parents=True)
identity = actors.app.load_or_create(data)
vault.SealedVault(data.passwords, identity.sealing_key(vault.PURPOSE)).put({"a": "b"})
recovery_kit_methods(identity, data.recipients, lambda: 0.0)
print("started", *sorted(sys.modules))
"""


def test_cryptography_is_imported_for_the_key_alone_and_hybrid_keys_not_at_all(tmp_path: Path) -> None:
    shown = subprocess.run([sys.executable, "-c", START, str(tmp_path)], capture_output=True, text=True, check=True)
    composed, started = (set(line.split()) for line in shown.stdout.splitlines())
    assert not any(name.startswith("cryptography") for name in composed)
    assert "cryptography.hazmat.primitives.asymmetric.ed25519" in started
    unwanted = {
        "cryptography.x509",
        "cryptography.hazmat.primitives.hpke",
        "cryptography.hazmat.primitives.serialization",
    }
    assert not started & (unwanted | {"bibd.identity.wrap", "bibd.identity.kit", "mnemonic", "segno"})
