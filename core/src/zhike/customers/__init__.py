"""Customers: who we know, and under which identities."""
