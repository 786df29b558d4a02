"""The data sources: what is read and never changed."""
