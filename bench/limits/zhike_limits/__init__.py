"""The raw limits the product is measured against; nothing here imports the product."""
