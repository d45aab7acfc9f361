"""The schema of the database, brought up to date."""
