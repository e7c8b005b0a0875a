"""What the reference's own tests demand of its jobs, beside what ours do: `make reference` prints it, with verdicts."""
