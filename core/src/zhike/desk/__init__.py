"""What is at hand for everybody who works here: notices, saved views, the progress of what runs, one's own profile."""
