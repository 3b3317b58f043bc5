"""Where images come from, one module a source; :data:`trainers.data.DATASETS` has them by name."""
