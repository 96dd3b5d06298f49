"""From the record to MLflow. With `comparison`, the only part that knows MLflow.

A server may be older than the MLflow that is installed here: tried with 2.14 and 3.17. Calls that came later
are not needed; where a server takes shorter tags, views and notes are shorter.
"""

import os

# MLflow reads it when it is imported, which the modules here do.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

DEFAULT_URI = "sqlite:///mlflow.db"
"""Where MLflow itself looks when nothing is set: a file in the working folder."""


def fail_fast() -> None:
    """For a process of our own: MLflow is not to ask again by itself, nor to draw progress bars.

    It would wait for minutes, and make a run twice if the first answer is lost.
    """
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
