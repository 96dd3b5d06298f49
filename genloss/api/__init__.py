"""The API for results: compare, load, history."""
