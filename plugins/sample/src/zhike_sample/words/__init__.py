"""What the sample company is made of; nobody and nothing in it exists."""
