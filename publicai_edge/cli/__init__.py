"""The command line: one file a verb, thin; stdout is data, stderr is talk."""
