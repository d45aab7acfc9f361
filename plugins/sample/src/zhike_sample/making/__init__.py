"""Makes the company through the same services as everybody uses."""
