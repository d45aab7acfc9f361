"""Files: what was uploaded or is handed out, kept in the database so that one backup holds everything."""
