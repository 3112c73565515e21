"""A language's pronunciation, from the form that gruut publishes it in to the one that a kiosk reads.

gruut's packages (``gruut-lang-en`` and others, MIT) hold in ``espeak/`` a lexicon in SQLite and a model in CRFsuite's
form that guesses other words, both with the phonemes of espeak-ng, which Piper's voices are made for. A kiosk has
neither gruut nor CRFsuite: :mod:`.convert` makes sorted lines of the one and plain arrays of the other.
"""
