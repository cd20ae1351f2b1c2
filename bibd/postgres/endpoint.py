"""Where and as whom to connect."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``host`` is a name, an address or, starting with "/", the directory of a Unix socket."""

    host: str
    port: int
    dbname: str
    user: str
    password: str = field(repr=False)
    tls: bool = False

    def url(self) -> str:
        """A URL that psql and every driver takes (RFC 3986; PostgreSQL documentation, 34.1.1.2)."""
        return self._url(f"{quote(self.user, safe='')}:{quote(self.password, safe='')}")

    def public_url(self) -> str:
        """The same without the password."""
        return self._url(quote(self.user, safe=""))

    def _url(self, credentials: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        # The certificate is self-signed: a client can ask for encryption, not check who answers.
        query = "?sslmode=require" if self.tls else ""
        return f"postgresql://{credentials}@{host}:{self.port}/{quote(self.dbname, safe='')}{query}"

    def parameters(self) -> dict[str, str | int]:
        """libpq's connection parameters."""
        parameters: dict[str, str | int] = {
            "host": self.host,
            "port": self.port,
            "dbname": self.dbname,
            "user": self.user,
            "password": self.password,
        }
        if self.tls:
            parameters["sslmode"] = "require"
        return parameters


def client_host(listen: str) -> str:
    """Where a client on this machine reaches a server that listens on ``listen``; "" when it does not."""
    return {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)  # noqa: S104
