"""From a seed to rows: what each learner holds, and what the database of a site refuses."""
