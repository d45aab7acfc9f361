"""Turns a condition into one SQL statement over all customers."""
