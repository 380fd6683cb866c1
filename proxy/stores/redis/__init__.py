"""Entries in Redis or Valkey, shared by every process that is configured for it."""
