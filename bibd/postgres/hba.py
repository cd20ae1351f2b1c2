"""``pg_hba.conf``: who may connect from where. Everybody shows a password; nobody is trusted."""

from __future__ import annotations

import ipaddress

ANY = frozenset({"*", "0.0.0.0", "::"})  # noqa: S104 -- recognised, not bound


def is_loopback(bind_address: str) -> bool:
    """Whether only this machine can reach a server that listens on ``bind_address``."""
    if bind_address == "localhost":
        return True
    try:
        return ipaddress.ip_address(bind_address).is_loopback
    except ValueError:
        return False


def render(*, bind_address: str, tls: bool) -> str:
    """The whole file. Beyond loopback, only the networks this machine is in, with TLS when there is TLS."""
    lines = [
        "# Written by bibd at each start; changes are lost.",
        "local    all  all                      scram-sha-256",
        "# The superuser only through the Unix socket, which lies in a directory of mode 0700.",
        f"host     all  {'postgres':<9} all            reject",
        "host     all  all       127.0.0.1/32   scram-sha-256",
        "host     all  all       ::1/128        scram-sha-256",
    ]
    if not is_loopback(bind_address):
        kind = "hostssl" if tls else "host"
        lines.append(f"{kind:<8} all  all       samenet        scram-sha-256")
    lines.append("host     all  all       all            reject")
    return "\n".join([*lines, ""])
