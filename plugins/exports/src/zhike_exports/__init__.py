"""Customers and events handed out as files."""
