"""The rows of the support table."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.layers import GatedMlp, GroupNormAct, StdConv2d
from timm.models import metaformer, mlp_mixer, resnetv2
from torch import Tensor, nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import Bottleneck

from architectures import CLASSES, IMAGES, TEXTS, TOKENS, WORDS, Architecture
from itinf import Block, Network


def _resnet50(classes: int) -> nn.Module:
    return models.ResNet(Bottleneck, [1, 2, 2, 2], num_classes=classes)  # deeper ones at random are certain of a class


def _convnext(classes: int) -> nn.Module:
    settings = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 2), CNBlockConfig(24, None, 2)]
    return models.ConvNeXt(settings, num_classes=classes)


def _vit(classes: int) -> nn.Module:
    return models.VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=classes)


def _swin(classes: int, **options: Any) -> nn.Module:
    return models.SwinTransformer([4, 4], 8, [2, 2], [1, 2], [4, 4], num_classes=classes, **options)


def _swin_v2(classes: int) -> nn.Module:
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

    return _swin(classes, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)


def _densenet(classes: int) -> nn.Module:
    return models.DenseNet(4, (2, 2, 2), 8, num_classes=classes)


TORCHVISION = [
    Architecture("torchvision:resnet18", by=8, quick=True),
    Architecture("torchvision:resnet50", by=16, small=_resnet50),
    Architecture("torchvision:resnext50_32x4d", by=16),
    Architecture("torchvision:wide_resnet50_2", by=16),
    Architecture("torchvision:regnet_y_400mf", by=8),
    Architecture("torchvision:googlenet", by=8, side=64, quick=True),
    Architecture("torchvision:inception_v3", by=16, side=80),
    Architecture("torchvision:vgg11", by=16, quick=True),
    Architecture("torchvision:vgg16_bn", by=16),
    Architecture("torchvision:alexnet", by=8, side=64),
    Architecture("torchvision:squeezenet1_1", by=8, side=96),
    Architecture("torchvision:densenet121", small=_densenet, quick=True),
    Architecture("torchvision:efficientnet_b0", by=8),
    Architecture("torchvision:mobilenet_v2", by=8, quick=True),
    Architecture("torchvision:mobilenet_v3_small", by=8),
    Architecture("torchvision:mnasnet0_5", by=8),
    Architecture(
        "torchvision:shufflenet_v2_x1_0", small=lambda n: models.ShuffleNetV2([2, 2, 2], [8, 16, 24, 32, 48], n)
    ),
    Architecture("torchvision:convnext_tiny", small=_convnext, quick=True),
    Architecture("torchvision:vit_b_16", small=_vit),
    Architecture("torchvision:swin_t", small=_swin, quick=True),
    Architecture("torchvision:swin_v2_t", small=_swin_v2),
]


def _mixer(classes: int, **options: Any) -> nn.Module:
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "num_blocks": 3}
    return mlp_mixer.MlpMixer(classes, **shape, **options)


def _resmlp(classes: int) -> nn.Module:
    return _mixer(classes, mlp_ratio=4, block_layer=mlp_mixer.ResBlock, norm_layer=mlp_mixer.Affine)


def _gmlp(classes: int) -> nn.Module:
    return _mixer(classes, mlp_ratio=6, block_layer=mlp_mixer.SpatialGatingBlock, mlp_layer=GatedMlp)


def _poolformer(classes: int) -> nn.Module:
    shape = {"depths": (1, 1, 1, 2), "dims": (8, 16, 16, 24), "downsample_norm": None, "use_mlp_head": False}
    scales = {"layer_scale_init_values": 1e-5, "res_scale_init_values": None}
    return metaformer.MetaFormer(
        num_classes=classes, mlp_act=nn.GELU, norm_layers=metaformer.GroupNorm1, **shape, **scales
    )


def _resnetv2(classes: int) -> nn.Module:
    norm = partial(GroupNormAct, num_groups=4)
    shape = {"layers": [1, 2, 2, 2], "channels": (16, 32, 32, 32), "stem_type": "fixed"}
    return resnetv2.ResNetV2(num_classes=classes, conv_layer=StdConv2d, norm_layer=norm, **shape)


VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2}


def class_attention(model: Any) -> Network:
    """CaiT: a class token reads all patches in blocks of its own, after the last block."""

    def pool(h: Tensor) -> Tensor:
        token = model.cls_token.expand(len(h), -1, -1)
        for block in model.blocks_token_only:
            token = block(h, token)
        return model.norm(torch.cat((token, h), 1))[:, 0]

    parts = {"attention": "drop_path:1", "mlp": "drop_path:2"}
    blocks = [Block(f"blocks.{k}", parts=parts) for k in range(len(model.blocks))]
    gauge: Any = "orthogonal-layernorm"
    return Network(model, blocks, layout="n t c", neck=nn.Identity(), pool=pool, head=model.head, gauge=gauge)


def distilled(model: Any) -> Network:
    """DeiT, distilled: the class token and the distillation token have a head each, the logits are their mean."""
    return Network(
        model,
        [Block(f"blocks.{k}", parts={"attention": "attn", "mlp": "mlp"}) for k in range(len(model.blocks))],
        layout="n t c",
        neck=model.norm,
        pool=lambda h: h[:, :2].flatten(1),
        head=lambda v: (model.head(v.chunk(2, -1)[0]) + model.head_dist(v.chunk(2, -1)[1])) / 2,
        gauge="orthogonal-layernorm",
    )


TIMM = [
    Architecture("timm:resnet18", {"channels": (8, 16, 16, 32)}),
    Architecture("timm:resnet50", {"channels": (4, 4, 8, 16)}),
    Architecture("timm:seresnet50", {"channels": (4, 4, 8, 16)}),
    Architecture("timm:resnetv2_50", {"channels": (16, 32, 32, 64), "layers": (2, 2, 2, 2)}),
    Architecture("timm:resnetv2_50x1_bit", small=_resnetv2),
    Architecture("timm:vit_tiny_patch16_224", VIT, quick=True),
    Architecture("timm:vit_base_patch16_siglip_224", VIT),
    Architecture("timm:deit_tiny_patch16_224", VIT),
    Architecture("timm:deit3_small_patch16_224", VIT),
    Architecture("timm:deit_tiny_distilled_patch16_224", VIT, describe=distilled),
    Architecture("timm:cait_xxs24_224", VIT, describe=class_attention),
    Architecture("timm:beit_base_patch16_224", VIT),
    Architecture("timm:xcit_nano_12_p8_224", {k: v for k, v in VIT.items() if k != "patch_size"}),
    Architecture("timm:convnext_atto", {"dims": (8, 16, 16, 24), "depths": (1, 1, 1, 2)}),
    Architecture("timm:mixer_s32_224", {"img_size": 32}, small=_mixer, quick=True),
    Architecture("timm:resmlp_12_224", {"img_size": 32}, small=_resmlp),
    Architecture("timm:gmlp_s16_224", {"img_size": 32}, small=_gmlp),
    Architecture(
        "timm:swin_tiny_patch4_window7_224",
        {"img_size": 64, "window_size": 4, "embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2)},
        side=64,
    ),
    Architecture("timm:efficientnet_b0", by=8),
    Architecture("timm:tf_efficientnet_lite0", by=8),
    Architecture("timm:mobilenetv3_small_100", by=8),
    Architecture("timm:regnetx_002", by=8),
    Architecture("timm:repvgg_a0", by=8),
    Architecture("timm:poolformer_s12", small=_poolformer),
]

KEYS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
WORDED = {"vocab_size": WORDS, **KEYS}
LAYERED = {"n_embd": 16, "n_layer": 3, "n_head": 2}
decoder = partial(Architecture, head=TOKENS)


def _like_llama(kind: str, quick: bool = False, **options: Any) -> Architecture:
    return decoder(kind, {**WORDED, **SHAPE, "num_key_value_heads": 2, **options}, quick=quick)


def _encoder(kind: str, quick: bool = False, **options: Any) -> Architecture:
    shape = {"vocab_size": WORDS, **SHAPE, "num_labels": CLASSES, **options}
    return Architecture(kind, shape, head=TEXTS, quick=quick)


def _images(kind: str, head: str = IMAGES, **options: Any) -> Architecture:
    return Architecture(kind, {"num_labels": CLASSES, "image_size": 32, **options}, head=head)


PATCHES = {**SHAPE, "patch_size": 8}
TRANSFORMERS = [
    decoder("gpt2", {**WORDED, **LAYERED}, quick=True),
    decoder(
        "gpt_neo",
        {**WORDED, "hidden_size": 16, "num_layers": 4, "num_heads": 2, "intermediate_size": 32}
        | {"attention_types": [[["global", "local"], 2]]},
    ),
    decoder("gpt_neox", {**WORDED, **SHAPE}, quick=True),
    decoder("gptj", {**WORDED, **LAYERED, "rotary_dim": 4}),
    decoder("opt", {**WORDED, **SHAPE, "ffn_dim": 32, "word_embed_proj_dim": 16}),
    decoder("bloom", {**WORDED, "hidden_size": 16, "n_layer": 3, "n_head": 2}),
    decoder("falcon", {**WORDED, **SHAPE}),
    _like_llama("llama", quick=True),
    _like_llama("mistral"),
    _like_llama("qwen2"),
    _like_llama("qwen3", head_dim=8),
    _like_llama("gemma", head_dim=8),
    _like_llama("gemma2", head_dim=8, quick=True),
    _like_llama("gemma3_text", head_dim=8),
    _like_llama("phi"),
    _like_llama("phi3"),
    _like_llama("olmo2"),
    _like_llama("stablelm"),
    _like_llama("starcoder2"),
    decoder("mamba", {**WORDED, "hidden_size": 16, "num_hidden_layers": 3}, quick=True),
    _encoder("bert", quick=True),
    _encoder("roberta", pad_token_id=0),
    Architecture(
        "distilbert",
        {"vocab_size": WORDS, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32, "num_labels": CLASSES},
        head=TEXTS,
    ),
    _encoder("electra"),
    _images("vit", **PATCHES),
    _images("deit", "DeiTForImageClassification", **PATCHES),
    _images("dinov2", **PATCHES),
    _images("beit", **PATCHES),
    _images("resnet", embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2]),
    _images("convnext", hidden_sizes=[8, 16], depths=[2, 2], num_stages=2),
    _images("swin", patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4),
]

ARCHITECTURES = [*TORCHVISION, *TIMM, *TRANSFORMERS]
