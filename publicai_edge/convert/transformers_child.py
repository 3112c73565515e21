"""What every child process that runs transformers does alike: stay off the network, word errors, check the tokenizer.

Invariants: no network, no code from the model's repository, no pickle.
"""

import os
import warnings
from pathlib import Path
from typing import Any

from publicai_edge.convert.check_texts import CHECK_TEXTS
from publicai_edge.errors import ModelError


def stay_offline() -> None:
    """Keep the libraries off the network and quiet; must come before their import."""
    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        TOKENIZERS_PARALLELISM="false",
        TRANSFORMERS_VERBOSITY="error",
    )
    warnings.simplefilter("ignore")  # tracer warnings about constants; the comparison with the original is what counts


def check_tokenizer(path: Path, original: Any, max_tokens: int) -> None:
    """Compare ``tokenizer.json``, all that the kiosk has, with what transformers makes of the folder.

    Raises:
        ModelError: it cannot be read, or splits a check text into other tokens.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelError(f"{path} is not a tokenizer: {short(error)}", hint="Fetch the model again.") from error
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    for text in CHECK_TEXTS:
        ours = tokenizer.encode(text).ids
        theirs = original(text, truncation=True, max_length=max_tokens)["input_ids"]
        if ours != theirs:
            raise ModelError(
                f"{path} splits {text[:40]!r} into other tokens than the model's own tokenizer does.",
                hint="Save it anew: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER).",
            )


def short(error: BaseException) -> str:
    """Return an error's text as one line of at most 400 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else text[:400] + "…"  # noqa: PLR2004 - a paragraph of a terminal
