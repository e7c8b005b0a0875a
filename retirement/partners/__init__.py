"""The reports to partners: claims, files, and the learners that are missing from a claim."""
