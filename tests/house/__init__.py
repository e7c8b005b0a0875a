"""Tests about the code base and its documents, not about what the code does."""
