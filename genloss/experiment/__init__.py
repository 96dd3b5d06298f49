"""From the YAML file to a frozen Experiment and its runs; everything that can be checked beforehand."""
