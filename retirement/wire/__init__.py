"""The wire: one API per service, its sign-in, its limits, and what a reply means."""
