"""Settings that are changed while Zhike runs: groups of them, kept in the database, known to every process."""
