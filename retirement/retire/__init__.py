"""One learner: the engine that runs the steps, and the run of one learner."""
