"""The smallest causal models that every part of a conversion has work with: two layers, random weights, real tokens."""

from pathlib import Path

from publicai_edge.convert.check_texts import CHECK_TEXTS


def write(folder: Path, *, tied: bool = True, **changes: object) -> Path:
    """Write a Llama of 64 numbers a token with a tokenizer of its own; the same bytes each time."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokens = _write_tokenizer(folder)
    torch.manual_seed(7)
    sizes = {
        "vocab_size": tokens,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": tied,
        "initializer_range": 0.15,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    LlamaForCausalLM(LlamaConfig(**{**sizes, **changes})).save_pretrained(folder, safe_serialization=True)
    return folder


def _write_tokenizer(folder: Path) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<end>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CHECK_TEXTS, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
    return int(tokenizer.get_vocab_size())
