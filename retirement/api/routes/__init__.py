"""What can be asked at the door: one file for each subject, each with a `router`."""
