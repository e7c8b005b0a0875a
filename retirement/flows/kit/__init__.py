"""What every flow shares: its one door, signals, forms, artifacts, and Prefect's server."""
