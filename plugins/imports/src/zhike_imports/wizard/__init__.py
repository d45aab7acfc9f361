"""The pages by which people bring files in: what columns can become, what was chosen, and what is wrong with it."""
