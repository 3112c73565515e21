"""Search the engine settings that are fastest on a device.

    space ─► search ◄─ measure     points, which of them are measured how well, and the measurements
                │
                ▼
    features, explain              what is decided one by one, and why the winner won

What a type costs in quality is measured elsewhere; the search asks whether a model passes, and only of those that would
be fast.
"""
