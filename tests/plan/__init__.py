"""Plans: what a model costs, what a device gives, and the two together."""
