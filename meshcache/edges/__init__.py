"""The edges that touch the world, one foreign library each."""
