"""Speed, beside the peers that people use: `python -m launch.bench SUITE`."""
