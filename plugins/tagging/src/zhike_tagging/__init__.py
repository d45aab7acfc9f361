"""Tagging: groups of tags, given by hand or by rule, each with its history and why."""
