"""Getting raw files: sources of the user's own (`local`). It may import `config`, `checkpoint` and `types`."""
