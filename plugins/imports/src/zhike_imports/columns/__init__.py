"""What the columns of a file mean, and how their values are read."""
