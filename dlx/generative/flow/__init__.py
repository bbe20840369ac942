"""Flow matching: straight paths from noise to data."""
