"""bibd: a daemon that owns the whole life of a PostgreSQL or SQLite database."""

__version__ = "0.1.0"
