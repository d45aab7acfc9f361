"""How rows are written: CSV for spreadsheets, JSON Lines for programs."""
