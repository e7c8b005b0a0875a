"""What comes after a run: receipts, dead runs, redrive, and the cleanup of the LMS rows."""
