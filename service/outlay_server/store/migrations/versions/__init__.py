"""The revisions, one module each, in the order of `migrations.REVISIONS`. Forward only: the way back is a backup."""
