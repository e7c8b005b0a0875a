"""What a connector is made of: settings, operations, outcomes, calls that learners share, what an answer means."""
