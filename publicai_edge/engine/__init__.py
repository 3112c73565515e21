"""The engine: the only code that loads a model.

``client`` talks to ``worker``, a process of its own, over its standard streams; ``llama`` holds the native handles,
``chat`` turns a conversation into tokens, ``generate`` into an answer, ``warm`` keeps the states of prompts every
patron shares. ``embedder`` runs the small model that finds passages, in the caller's process.
"""
