"""What `make scale` says of queue runs that grow: the cost of one more learner, and how that grows."""

from __future__ import annotations

from tests.benchmarks.scale import COLUMNS, Run, lines


def run(learners: int, each: float) -> Run:
    """A run that needs ten of everything to begin with, and as much again for each learner."""
    return Run(learners, 60.0, dict.fromkeys(COLUMNS, 10 + each * learners), {"flow": 100_000_000 + learners})


def test_the_cost_of_one_more_learner_leaves_out_what_every_run_costs() -> None:
    """Three learners cost as much each as thirty do, and four each for the last thirty are 2.13 times as much."""
    heading, few, many = lines([run(1, 2.0), run(4, 2.0), run(34, 2.0)])

    assert heading.split()[:4] == ["learners", "minutes", "CPU-s", "of"]
    assert few.split()[:3] == ["4", "1.0", "2.000"]
    assert " x 1.00" in many
    assert "flow 100" in few

    *_, dearer = lines([run(1, 2.0), run(4, 2.0), run(34, 4.0)])
    assert " x 2.13" in dearer
