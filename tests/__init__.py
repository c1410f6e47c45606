"""The tests, laid out as the source is; `support` holds what several of them need."""
