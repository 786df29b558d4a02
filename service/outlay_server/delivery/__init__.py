"""From the outbox to whoever asked to be told."""
