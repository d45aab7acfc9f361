"""Files brought in: what they are, what their columns mean, and how their rows become events."""
