"""The engine: the only code that loads a model.

``client`` keeps the line (``line``) and talks over pipes (``link``) to ``worker``, a process of its own. There,
``scheduler`` makes one evaluation after the other out of the conversations under way (``slots``): ``chat`` and
``template`` turn a conversation into tokens, ``batch`` and ``llama`` evaluate them, ``sampling`` chooses the next,
``lookup`` guesses further ones, ``text`` lets it out. ``warm`` keeps the states of prompts that patrons share;
``threads``, ``fit`` and ``gpu`` decide how to use the machine. ``onnx`` does the same over onnxruntime.
``embedder`` runs the small model that finds passages, in the caller's process; ``scoring``, ``observe``, ``perturb``
and ``vectors`` are for those who measure models.
"""
