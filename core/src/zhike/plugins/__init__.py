"""What the database knows about plugins: which are enabled, what is wrong with them, whose rows are customers'."""
