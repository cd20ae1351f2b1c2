DROP TABLE bibd.node;
