-- bibd's own schema, made with the state table. What lives here is about the node, not about the user's data.
COMMENT ON SCHEMA bibd IS 'kept by bibd; do not change by hand';

CREATE TABLE bibd.node (
    id         text        PRIMARY KEY,
    version    text        NOT NULL, -- of bibd
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_start timestamptz NOT NULL DEFAULT clock_timestamp()
);
