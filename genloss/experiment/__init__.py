"""The language: from the YAML file to a frozen Experiment."""
