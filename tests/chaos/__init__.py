"""The real thing under trouble: real nodes in real processes: stopped, cut off, drowned in joiners."""
