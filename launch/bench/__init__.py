"""Benchmarks against other libraries: `python -m launch.bench SUITE`."""
