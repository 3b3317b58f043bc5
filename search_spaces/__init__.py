"""What to sweep: the shipped specs (``*.yaml``), their typed schema and the loader."""
