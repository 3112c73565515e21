"""The pipeline: the order of the stages, and the cache that reruns one only when its inputs changed."""
