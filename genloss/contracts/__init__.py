"""What plugins are written against: losses, models and their turns, datasets, metrics."""
