"""Comparing the objectives of a study: statistics, answer, tables, data frames and report."""
