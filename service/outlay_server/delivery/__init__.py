"""From the outbox to webhooks, Slack and mail."""
