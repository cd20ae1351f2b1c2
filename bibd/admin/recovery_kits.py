"""The daemon's side of recovery kits: it knows their public halves, and never sees the private ones."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bibd.admin.methods import AddRecoveryKitParams, RecoveryKitParams
from bibd.admin.schema import RecoveryKit, RecoveryKitTest, timestamp
from bibd.identity.node import NodeIdentity

if TYPE_CHECKING:
    from bibd.identity.recipients import Recipient, Recipients


def context_of_test(node_id: str) -> bytes:
    """What the key of ``recovery_kit.test`` is for: nothing that opens a backup can be passed off as a test."""
    return f"recovery kit test, node {node_id}".encode()


def recovery_kit_methods(
    identity: NodeIdentity, path: Path, now: Callable[[], float]
) -> Mapping[str, Callable[[Any], object]]:
    """The methods ``recovery_kit.*`` on the sealed list ``path``; ``now`` in Unix seconds. Not thread-safe."""

    # Imported when they are needed: no start does.
    def known() -> Recipients:
        from bibd.identity import recipients
        from bibd.identity.recipients import Recipients

        return Recipients(path, identity.sealing_key(recipients.PURPOSE))

    def add(params: AddRecoveryKitParams) -> RecoveryKit:
        from bibd.identity.recipients import Recipient
        from bibd.identity.wrap import PublicKey

        recipient = Recipient(PublicKey.from_text(params.public), timestamp(now()))
        known().add(recipient)
        return _shown(recipient)

    def listed(_: object) -> list[RecoveryKit]:
        return [_shown(recipient) for recipient in known().all()]

    def remove(params: RecoveryKitParams) -> RecoveryKit:
        return _shown(known().remove(params.fingerprint))

    def test(params: RecoveryKitParams) -> RecoveryKitTest:
        from bibd.identity.wrap import DATA_KEY_BYTES, wrap

        public = known().find(params.fingerprint).public
        data_key = secrets.token_bytes(DATA_KEY_BYTES)
        (wrapped,) = wrap(data_key, [public], context_of_test(identity.node_id))
        text = base64.b64encode(wrapped.to_bytes()).decode()
        return RecoveryKitTest(identity.node_id, text, hashlib.sha256(data_key).hexdigest())

    return {
        "recovery_kit.add": add,
        "recovery_kit.list": listed,
        "recovery_kit.remove": remove,
        "recovery_kit.test": test,
    }


def _shown(recipient: Recipient) -> RecoveryKit:
    return RecoveryKit(recipient.public.fingerprint, recipient.added_at)
