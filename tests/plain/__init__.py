"""The deployments of `prefect.yaml` on a plain Prefect server with a process worker: `make plain`."""
