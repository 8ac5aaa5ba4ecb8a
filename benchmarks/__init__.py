"""Benchmarks: one module per question, each beside its peers and beside a physical limit in the same run."""
