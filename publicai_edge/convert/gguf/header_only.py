"""What this project changes in llama.cpp's converter to learn what it would write, without weights to write.

The file gets its whole header, and in place of the weights a hole of their size, which takes no disk.
"""

from typing import Any


def apply(gguf: Any) -> None:
    """Change the converter's writer in this process."""
    gguf.GGUFWriter.write_tensors_to_file = _write


def _write(writer: Any, **_progress: Any) -> None:
    writer.write_ti_data_to_file()
    for stream, tensors in zip(writer.fout, writer.tensors, strict=True):
        writer.write_padding(stream, stream.tell())
        size = sum(writer.ggml_pad(tensor.nbytes, writer.data_alignment) for tensor in tensors.values())
        stream.truncate(stream.tell() + size)
