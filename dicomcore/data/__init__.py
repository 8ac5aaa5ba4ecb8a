"""The data layer: lazy data sets over (index, source, edits), Part 10 files, the JSON model."""
