"""The Prefect side: names, retries, schedules, artifacts. What happens to a learner is `retirement.engine`."""
