-- bibd's own tables. What lives here is about the node, not about the user's data.
CREATE TABLE bibd_node (
    id         TEXT PRIMARY KEY NOT NULL,
    version    TEXT NOT NULL, -- of bibd
    first_seen TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    last_start TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
