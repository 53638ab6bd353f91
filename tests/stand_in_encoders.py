"""Tiny random text encoders of every kind, and texts for them."""

import torch
from torch import nn
from transformers import (
    AlbertConfig,
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    NomicBertConfig,
    PreTrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from mien.tensors import PaddedSeries

_SIZES = {
    "vocab_size": 90,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 60,
}
PACKABLE: dict[str, PreTrainedConfig] = {
    "albert": AlbertConfig(**_SIZES, embedding_size=16),
    "bert": BertConfig(**_SIZES),
    "distilbert": DistilBertConfig(
        vocab_size=90, dim=24, n_layers=2, n_heads=3, hidden_dim=40, max_position_embeddings=60
    ),
    "electra": ElectraConfig(**_SIZES, embedding_size=16),
    "modernbert": ModernBertConfig(
        **_SIZES, local_attention=8, global_attn_every_n_layers=2, pad_token_id=0
    ),
    "nomic_bert": NomicBertConfig(**_SIZES),
    "roberta": RobertaConfig(**_SIZES),
    "xlm-roberta": XLMRobertaConfig(**_SIZES),
}
UNPACKABLE: dict[str, PreTrainedConfig] = {
    "deberta-v2": DebertaV2Config(**_SIZES, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "mpnet": MPNetConfig(**_SIZES),
}


def make_backbone(config: PreTrainedConfig) -> nn.Module:
    torch.manual_seed(3)
    model: nn.Module = AutoModel.from_config(config)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model.eval()


def make_texts() -> PaddedSeries:
    """Texts of 4, 1, 0, 17, 4 tokens, and one of 9 whose third is taken away."""
    lengths = torch.tensor([4, 1, 0, 17, 4, 9])
    mask = torch.arange(17) < lengths.unsqueeze(1)
    mask[5, 2] = False
    ids = torch.randint(5, 90, (6, 17, 1), generator=torch.Generator().manual_seed(1))
    return PaddedSeries(ids * (torch.arange(17) < lengths.unsqueeze(1)).unsqueeze(-1), mask)
