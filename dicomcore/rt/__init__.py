"""Radiotherapy objects as typed views, and a phantom study to try them on."""
