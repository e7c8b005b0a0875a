"""Prefect: the flows and what is served. Imported late, since Prefect reads its settings when it is imported."""
