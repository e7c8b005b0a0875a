"""Which learners a queue run takes: the listing, the guard and the forecast."""
