DROP TABLE bibd_node;
