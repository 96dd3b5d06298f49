"""A run's record on disk, the source of everything in MLflow. Knows no MLflow."""
