"""How fast a model or a bundle is on this machine, how near that comes to what the machine allows, and what changed."""
