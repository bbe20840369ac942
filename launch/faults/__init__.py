"""Fault injection: interrupts trainings and verifies that they recover."""
