"""What is registered of consents: purposes, the consents themselves, and what persons ask for."""
