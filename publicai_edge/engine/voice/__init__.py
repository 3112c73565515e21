"""Text spoken on the kiosk: Piper voices (VITS, Kim et al., 2021, arXiv:2106.06103) in ONNX, through ONNX Runtime.

What is read aloud may be a patron's own, so it is as private as a question. The kiosk loads a voice in a process of its
own (:mod:`.worker`), which :mod:`.speaker` starts when somebody listens, asks, and ends after a while.

A sentence goes through :mod:`.normal` (numbers, times and signs in words), :mod:`.pronunciation` (words to phonemes, by
a lexicon, and by :mod:`.guesser` for words that are not in it) and :mod:`.piper` (phonemes to sound).
"""

MOST_LETTERS = 1000
"""Of a text that is spoken at once."""
_PROGRAM_BYTES = 190 << 20
_PER_BYTE = 4


def process_bytes(voice_bytes: int) -> int:
    """Return the memory that the process takes at its peak with a voice whose graph has ``voice_bytes``.

    Measured with a voice of 63 MB on x86-64: 440 MB, over the longest text. For other voices it is an estimate.
    """
    return _PROGRAM_BYTES + _PER_BYTE * voice_bytes
