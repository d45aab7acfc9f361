"""Duplicates: customers who may be one, found by what they have in common, and decided on by people."""
