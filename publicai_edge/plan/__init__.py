"""Will it run there, and how fast: told from a model's header and a device's profile, before any weights move.

:mod:`.device` is what is known of a machine, :mod:`.profiles` those that come with the program, :mod:`.probe` measures
the machine at hand, :mod:`.cost` is what a model asks of any machine, and :mod:`.forecast` puts the two together.
"""
