-- bibd's own schema. What lives here is about the node, not about the user's data.
CREATE SCHEMA bibd;

COMMENT ON SCHEMA bibd IS 'kept by bibd; do not change by hand';

CREATE TABLE bibd.schema_migrations (
    version    bigint      PRIMARY KEY CHECK (version > 0),
    name       text        NOT NULL,
    checksum   text        NOT NULL, -- SHA-256 of the .up.sql file, hexadecimal
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by text        NOT NULL
);

CREATE TABLE bibd.node (
    id         text        PRIMARY KEY,
    version    text        NOT NULL, -- of bibd
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_start timestamptz NOT NULL DEFAULT clock_timestamp()
);
