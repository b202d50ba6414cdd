"""How a database that an older version wrote becomes one of this version: one module for each version of the schema."""
