-- bibd's own tables. What lives here is about the node, not about the user's data.
CREATE TABLE bibd_schema_migrations (
    version    INTEGER PRIMARY KEY CHECK (version > 0),
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL, -- SHA-256 of the .up.sql file, hexadecimal
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    applied_by TEXT NOT NULL
);

CREATE TABLE bibd_node (
    id         TEXT PRIMARY KEY NOT NULL,
    version    TEXT NOT NULL, -- of bibd
    first_seen TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    last_start TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
