"""What every flow shares: its one door, signals, redaction, forms, artifacts, and Prefect's server."""
