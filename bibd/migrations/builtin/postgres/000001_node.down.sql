-- The version table goes with its schema.
DROP SCHEMA bibd CASCADE;
