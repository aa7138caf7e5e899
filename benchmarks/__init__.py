"""Side by side with the peers, in one run: `python -m benchmarks.run` measures, `benchmarks.report` writes it up."""
