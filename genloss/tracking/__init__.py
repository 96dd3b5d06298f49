"""From the record to MLflow. With `comparison`, the only part that knows MLflow."""

import os

# MLflow reads it when it is imported, which the modules here do.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

DEFAULT_URI = "sqlite:///mlflow.db"
"""Where MLflow itself looks when nothing is set: a file in the working folder."""
