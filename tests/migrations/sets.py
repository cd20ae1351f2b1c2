"""Sets of migration files. Without serial columns where they are interrupted: no rollback undoes a sequence."""

from __future__ import annotations

TWENTY = {
    "000001_accounts.up": "CREATE TABLE accounts (id int PRIMARY KEY, email text NOT NULL, visits int DEFAULT 0);",
    "000002_orders.up": """
        CREATE TABLE orders (id int PRIMARY KEY, account int REFERENCES accounts, state text, total numeric);
        CREATE INDEX ON orders (account);
    """,
    "000003_rows.up": """
        INSERT INTO accounts (id, email) SELECT n, 'a' || n FROM generate_series(1, 50) n;
        INSERT INTO orders (id, account, state, total) SELECT id, id, 'new', id * 2 FROM accounts;
        UPDATE accounts SET visits = visits + 1;
    """,
    "000004_index.up": "CREATE INDEX CONCURRENTLY orders_state ON orders (state);",
    "000005_trigger.up": """
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN new.state := coalesce(new.state, 'new'); RETURN new; END $$;
        CREATE TRIGGER touch BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch();
    """,
    "000006_mixed.up": """
        CREATE UNIQUE INDEX CONCURRENTLY accounts_email ON accounts (email);
        UPDATE accounts SET visits = visits + 1;
        VACUUM accounts;
        CREATE INDEX CONCURRENTLY accounts_visits ON accounts (visits);
    """,
    "000007_enum.up": "CREATE TYPE mood AS ENUM ('good', 'bad'); ALTER TABLE accounts ADD mood mood DEFAULT 'good';",
    "000008_value.up": """
        ALTER TYPE mood ADD VALUE IF NOT EXISTS 'fine';
        UPDATE accounts SET mood = 'fine', visits = visits + 1 WHERE id % 2 = 0;
    """,
    "000009_view.up": "CREATE VIEW happy AS SELECT * FROM accounts WHERE mood <> 'bad';",
    "000010_session.up": """
        -- bibd: no-transaction
        SET search_path = app, public;
        CREATE SCHEMA app;
        CREATE TABLE notes (id int PRIMARY KEY, body text);
        INSERT INTO notes SELECT n, 'note' FROM generate_series(1, 5) n;
        UPDATE accounts SET visits = visits + 1;
        CREATE INDEX CONCURRENTLY notes_body ON notes (body);
    """,
    "000011_partitions.up": """
        CREATE TABLE events (at date NOT NULL, what text) PARTITION BY RANGE (at);
        CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
        CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        INSERT INTO events VALUES ('2025-05-05', 'x'), ('2026-05-05', 'y');
    """,
    "000012_maintenance.up": "REINDEX TABLE CONCURRENTLY orders; VACUUM (ANALYZE) orders;",
    "000013_wrapped.up": """
        BEGIN;
        CREATE TABLE tags (id int PRIMARY KEY);
        INSERT INTO tags VALUES (1), (2);
        COMMIT;
    """,
    "000014_replace_index.up": """
        DROP INDEX CONCURRENTLY IF EXISTS orders_state;
        CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_state_total ON orders (state, total);
    """,
    "000015_matview.up": "CREATE MATERIALIZED VIEW totals AS SELECT account, sum(total) FROM orders GROUP BY 1;",
    "000016_move.up": """
        ALTER TABLE orders ADD cents bigint;
        UPDATE orders SET cents = coalesce(cents, 0) + total * 100;
        ALTER TABLE orders DROP total CASCADE;
    """,
    "000017_counted.up": """
        -- bibd: no-transaction
        UPDATE accounts SET visits = visits + 1;
        VACUUM accounts;
        UPDATE accounts SET visits = visits + 1;
    """,
    "000018_grants.up": "GRANT SELECT ON accounts TO PUBLIC; REVOKE ALL ON orders FROM PUBLIC;",
    "000019_domain.up": "CREATE DOMAIN cent AS bigint CHECK (value >= 0); ALTER TABLE orders ALTER cents TYPE cent;",
    "000020_last.up": "INSERT INTO tags VALUES (3); COMMENT ON TABLE tags IS 'last';",
}

# Each says that it ran; one builds an index while the others of a herd stand by.
HERD = {
    "000001_ran.up": "CREATE TABLE ran (version int); INSERT INTO ran VALUES (1);",
    "000002_table.up": "CREATE TABLE big AS SELECT n FROM generate_series(1, 20000) n; INSERT INTO ran VALUES (2);",
    "000003_index.up": "CREATE INDEX CONCURRENTLY big_n ON big (n); INSERT INTO ran VALUES (3);",
    "000004_slow.up": "INSERT INTO ran VALUES (4); SELECT pg_sleep(0.2);",
    "000005_index.up": "CREATE UNIQUE INDEX CONCURRENTLY big_u ON big (n);",
    "000006_last.up": "INSERT INTO ran VALUES (6);",
}

TWENTY_SQLITE = {
    "000001_accounts.up": "CREATE TABLE accounts (id INTEGER PRIMARY KEY, email TEXT NOT NULL, visits INT DEFAULT 0);",
    "000002_rows.up": """
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
            INSERT INTO accounts (id, email) SELECT i, 'a' || i FROM n;
        UPDATE accounts SET visits = visits + 1;
    """,
    "000003_vacuum.up": "VACUUM;",
    "000004_counted.up": """
        -- bibd: no-transaction
        UPDATE accounts SET visits = visits + 1;
        VACUUM;
        UPDATE accounts SET visits = visits + 1;
        CREATE INDEX accounts_email ON accounts (email);
    """,
    "000005_orders.up": "CREATE TABLE orders (id INTEGER PRIMARY KEY, account INT REFERENCES accounts, total INT);",
    "000006_rebuild.up": """
        PRAGMA foreign_keys = OFF;
        CREATE TABLE accounts_new (id INTEGER PRIMARY KEY, email TEXT UNIQUE, visits INT NOT NULL);
        INSERT INTO accounts_new SELECT id, email, visits FROM accounts;
        DROP TABLE accounts;
        ALTER TABLE accounts_new RENAME TO accounts;
    """,
    "000007_trigger.up": """
        CREATE TRIGGER visit AFTER INSERT ON orders BEGIN
            UPDATE accounts SET visits = visits + 1 WHERE id = new.account;
        END;
        INSERT INTO orders SELECT id, id, id * 2 FROM accounts;
    """,
    "000008_view.up": "CREATE VIEW rich AS SELECT * FROM orders WHERE total > 50;",
    "000009_analyze.up": "-- bibd: no-transaction\nANALYZE; UPDATE accounts SET visits = visits + 1; VACUUM;",
    **{
        f"{number:06}_t.up": f"CREATE TABLE t{number} AS SELECT 1 AS x; CREATE INDEX i{number} ON t{number} (x);"
        for number in range(10, 20)
    },
    "000020_last.up": "UPDATE accounts SET visits = visits + 1; DROP VIEW rich;",
}
HERD_SQLITE = {
    "000001_ran.up": "CREATE TABLE ran (version INT); INSERT INTO ran VALUES (1);",
    "000002_vacuum.up": "VACUUM; INSERT INTO ran VALUES (2);",
    "000003_last.up": "INSERT INTO ran VALUES (3);",
}
