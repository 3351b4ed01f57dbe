"""Measures lenetjax against the libraries that people would use in its place.

`make bench` runs it. One process measures, `benchmarks.__main__`, and imports neither
JAX nor PyTorch; what it measures runs in processes of their own (`benchmarks.jobs`),
which take turns, so that whatever else the machine does strikes all of them alike.
`benchmarks.scaling` reckons, on paper, with more devices than are here.
"""
