"""The story of the company: who came when, what they looked at, bought and said."""
