"""Exporting the ledger: read page by page, written as CSV or Parquet, every amount exact."""
