DROP TABLE bibd_node;
DROP TABLE bibd_schema_migrations;
