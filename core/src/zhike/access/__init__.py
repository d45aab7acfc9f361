"""Who acts and what they may do: actors, roles, scopes, tokens, users and the audit trail."""
