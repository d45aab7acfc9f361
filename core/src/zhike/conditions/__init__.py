"""The condition language: which customers a rule means, written as data."""
