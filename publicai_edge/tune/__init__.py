"""Search the engine settings that are fastest on a device."""
