"""What a patron says, written down: Whisper (Radford et al., 2022, arXiv:2212.04356) in ONNX, through ONNX Runtime.

A recording and its words are as private as a question that is typed. The kiosk loads the model in a process of its own
(:mod:`.worker`), which :mod:`.recognizer` starts when somebody speaks, asks, and ends when nobody has spoken for a
while. :mod:`.mel` turns sound into what the model reads, :mod:`.whisper` runs it, :mod:`.decoding` chooses the words.

numpy's Fourier transforms and products of matrices are not used: the standalone program has no fast ones (ADR 0034).
"""

SAMPLE_RATE = 16_000
"""Samples a second, of 16 bits, little-endian, one channel: what a recording is made of."""
SAMPLE_BYTES = 2
MOST_SECONDS = 30
"""What the model reads at once; a shorter recording is filled up with silence."""
_PROGRAM_BYTES = 180 << 20
_PER_BYTE = 8


def process_bytes(model_bytes: int) -> int:
    """Return the memory that the process takes at its peak with a model whose files have ``model_bytes``.

    Measured with Whisper tiny on x86-64: 523 MB, most of it while the encoder runs. That grows with a model's layers
    and heads, about as its files do; for larger models it is an estimate.
    """
    return _PROGRAM_BYTES + _PER_BYTE * model_bytes
