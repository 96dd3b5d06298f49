"""What `import genloss` offers for results: compare, load, history."""
