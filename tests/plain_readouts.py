"""How each architecture reads its last state, written by hand: classes of its blocks, readout, and axis of channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F

PIXELS = (2, 3)


def _normed(norm):
    """The head of a decoder after the norm at this path."""
    return lambda m, h: m.lm_head(m.get_submodule(norm)(h))


def _capped(m, h):
    cap = m.config.final_logit_softcapping
    return cap * torch.tanh(m.lm_head(m.model.norm(h)) / cap)


def _dinov2(m, h):
    h = m.dinov2.layernorm(h)
    return m.classifier(torch.cat([h[:, 0], h[:, 1:].mean(1)], 1))


def _class_attention(m, h):
    token = m.cls_token.expand(len(h), -1, -1)
    for block in m.blocks_token_only:
        token = block(h, token)
    return m.head(m.norm(torch.cat((token, h), 1))[:, 0])


def _distilled(m, h):
    h = m.norm(h)
    return (m.head(h[:, 0]) + m.head_dist(h[:, 1])) / 2


POOLED = (lambda m, h: m.fc(h.mean(PIXELS)), 1)
TIMM = (lambda m, h: m.forward_head(h), 1)
TIMM_NORMED = (lambda m, h: m.forward_head(m.norm(h)), 1)
TIMM_TOKENS = (lambda m, h: m.forward_head(m.norm(h)), -1)
LLAMA = (_normed("model.norm"), -1)
WHOLE_HEAD = (lambda m, h: m.classifier(h), -1)

BY_STRUCTURE = {
    "torchvision:resnet18": ("BasicBlock", *POOLED),
    "torchvision:resnet50 torchvision:resnext50_32x4d torchvision:wide_resnet50_2": ("Bottleneck", *POOLED),
    "torchvision:regnet_y_400mf": ("ResBottleneckBlock", *POOLED),
    "torchvision:googlenet": ("Inception", *POOLED),
    "torchvision:inception_v3": ("InceptionA InceptionC InceptionE", *POOLED),
    "torchvision:vgg11": ("Conv2d", lambda m, h: m.classifier(m.avgpool(m.features[19:](h)).flatten(1)), 1),
    "torchvision:vgg16_bn": ("Conv2d", lambda m, h: m.classifier(m.avgpool(m.features[41:](h)).flatten(1)), 1),
    "torchvision:alexnet": ("Conv2d", lambda m, h: m.classifier(m.avgpool(m.features[11:](h)).flatten(1)), 1),
    "torchvision:squeezenet1_1": ("Fire", lambda m, h: m.classifier(h).flatten(1), 1),
    "torchvision:densenet121": (
        "_DenseBlock",
        lambda m, h: m.classifier(F.relu(m.features.norm5(h)).mean(PIXELS)),
        1,
    ),
    "torchvision:efficientnet_b0": ("MBConv", lambda m, h: m.classifier(m.features[8](h).mean(PIXELS)), 1),
    "torchvision:mobilenet_v2": ("InvertedResidual", lambda m, h: m.classifier(m.features[18](h).mean(PIXELS)), 1),
    "torchvision:mobilenet_v3_small": (
        "InvertedResidual",
        lambda m, h: m.classifier(m.features[12](h).mean(PIXELS)),
        1,
    ),
    "torchvision:mnasnet0_5": ("_InvertedResidual", lambda m, h: m.classifier(m.layers[14:](h).mean(PIXELS)), 1),
    "torchvision:shufflenet_v2_x1_0": ("InvertedResidual", lambda m, h: m.fc(m.conv5(h).mean(PIXELS)), 1),
    "torchvision:convnext_tiny": ("CNBlock", lambda m, h: m.classifier(h.mean(PIXELS, keepdim=True)), 1),
    "torchvision:vit_b_16": ("EncoderBlock", lambda m, h: m.heads(m.encoder.ln(h)[:, 0]), -1),
    "torchvision:swin_t torchvision:swin_v2_t": (
        "SwinTransformerBlock SwinTransformerBlockV2",
        lambda m, h: m.head(m.norm(h).mean((1, 2))),
        -1,
    ),
    "timm:resnet18 timm:resnet50 timm:seresnet50": ("BasicBlock Bottleneck", *TIMM),
    "timm:resnetv2_50 timm:resnetv2_50x1_bit": ("PreActBottleneck", *TIMM_NORMED),
    "timm:vit_tiny_patch16_224 timm:vit_base_patch16_siglip_224 timm:deit_tiny_patch16_224 timm:deit3_small_patch16_224 "
    "timm:beit_base_patch16_224": ("Block", *TIMM_TOKENS),
    "timm:xcit_nano_12_p8_224": ("XCABlock ClassAttentionBlock", *TIMM_TOKENS),
    "timm:cait_xxs24_224": ("LayerScaleBlock", _class_attention, -1),
    "timm:deit_tiny_distilled_patch16_224": ("Block", _distilled, -1),
    "timm:convnext_atto": ("ConvNeXtBlock", lambda m, h: m.forward_head(m.norm_pre(h)), 1),
    "timm:mixer_s32_224 timm:resmlp_12_224 timm:gmlp_s16_224": ("MixerBlock ResBlock SpatialGatingBlock", *TIMM_TOKENS),
    "timm:swin_tiny_patch4_window7_224": ("SwinTransformerBlock", *TIMM_TOKENS),
    "timm:efficientnet_b0 timm:tf_efficientnet_lite0": (
        "InvertedResidual",
        lambda m, h: m.forward_head(m.bn2(m.conv_head(h))),
        1,
    ),
    "timm:mobilenetv3_small_100": ("InvertedResidual", lambda m, h: m.forward_head(m.blocks[5](h)), 1),
    "timm:regnetx_002": ("Bottleneck", lambda m, h: m.forward_head(m.final_conv(h)), 1),
    "timm:repvgg_a0": ("RepVggBlock", *TIMM),
    "timm:poolformer_s12": ("MetaFormerBlock", *TIMM),
    "gpt2 gpt_neo bloom falcon gptj": (
        "GPT2Block GPTNeoBlock BloomBlock FalconDecoderLayer GPTJBlock",
        _normed("transformer.ln_f"),
        -1,
    ),
    "gpt_neox": ("GPTNeoXLayer", _normed("gpt_neox.final_layer_norm"), -1),
    "opt": ("OPTDecoderLayer", _normed("model.decoder.final_layer_norm"), -1),
    "llama": ("LlamaDecoderLayer", *LLAMA),
    "mistral": ("MistralDecoderLayer", *LLAMA),
    "qwen2 qwen3": ("Qwen2DecoderLayer Qwen3DecoderLayer", *LLAMA),
    "gemma gemma3_text": ("GemmaDecoderLayer Gemma3DecoderLayer", *LLAMA),
    "gemma2": ("Gemma2DecoderLayer", _capped, -1),
    "phi": ("PhiDecoderLayer", _normed("model.final_layernorm"), -1),
    "phi3 olmo2": ("Phi3DecoderLayer Olmo2DecoderLayer", *LLAMA),
    "stablelm starcoder2": ("StableLmDecoderLayer Starcoder2DecoderLayer", *LLAMA),
    "mamba": ("MambaBlock", _normed("backbone.norm_f"), -1),
    "bert": ("BertLayer", lambda m, h: m.classifier(m.bert.pooler(h)), -1),
    "roberta electra": ("RobertaLayer ElectraLayer", *WHOLE_HEAD),
    "distilbert": ("TransformerBlock", lambda m, h: m.classifier(F.relu(m.pre_classifier(h[:, 0]))), -1),
    "vit": ("ViTLayer", lambda m, h: m.classifier(m.vit.layernorm(h)[:, 0]), -1),
    "deit": ("DeiTLayer", lambda m, h: m.classifier(m.deit.layernorm(h)[:, 0]), -1),
    "dinov2": ("Dinov2Layer", _dinov2, -1),
    "beit": ("BeitLayer", lambda m, h: m.classifier(m.beit.pooler(h)), -1),
    "resnet": (
        "ResNetBottleNeckLayer ResNetBasicLayer",
        lambda m, h: m.classifier(h.mean(PIXELS)[:, :, None, None]),
        1,
    ),
    "convnext": ("ConvNextLayer", lambda m, h: m.classifier(m.convnext.layernorm(h.mean(PIXELS))), 1),
    "swin": ("SwinLayer", lambda m, h: m.classifier(m.swin.layernorm(h).mean(1)), -1),
}
READOUTS = {name: how for names, how in BY_STRUCTURE.items() for name in names.split()}
"""Name -> classes of its blocks, (model, state) -> logits, axis of channels."""
