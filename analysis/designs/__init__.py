"""The design of a study, read off its recording sessions and drug logs."""
