"""A run's record on disk: the whole truth, from which MLflow is filled. Knows no MLflow."""
