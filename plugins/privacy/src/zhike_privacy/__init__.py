"""Privacy: purposes, consents with proof, requests of persons, and how long events are kept."""
