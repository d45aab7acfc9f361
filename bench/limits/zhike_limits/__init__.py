"""The raw sides of the bars: SQL through asyncpg and bare ASGI, with nothing of the product in between."""
