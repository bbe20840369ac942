"""Trains any Task."""
