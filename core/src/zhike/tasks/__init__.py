"""Tasks: what somebody is to do, for a customer or not, until when, and what came of it."""
