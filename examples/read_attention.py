"""Read concept maps from a plain diffusers transformer, with nothing of vidconcept but its hooks.

    python examples/read_attention.py

The transformer has random weights, so its maps mean nothing; with `CogVideoXTransformer3DModel.from_pretrained` the
lines stay the same. What they show: the hooks change no bit of the model's output.
"""

import torch
from diffusers import CogVideoXTransformer3DModel

from vidconcept.attention import concept_attention

FRAMES, HEIGHT, WIDTH = 3, 8, 12  # latent steps, and latent rows and columns
PATCH = 2  # latents a token
TEXT_TOKENS, TEXT_DIM = 16, 32
WORDS = {"scratch": 2, "dent": 1, "good surface": 2}  # sub-words of each concept


def main() -> None:
    torch.manual_seed(0)
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=32,
        text_embed_dim=TEXT_DIM,
        num_layers=4,
        sample_width=WIDTH,
        sample_height=HEIGHT,
        sample_frames=1 + 4 * (FRAMES - 1),
        max_text_seq_length=TEXT_TOKENS,
    ).eval()
    latents = torch.randn(1, FRAMES, 4, HEIGHT, WIDTH)  # (b, t, c, h, w)
    prompt = torch.randn(1, TEXT_TOKENS, TEXT_DIM)
    # From a text encoder: one embedding for each sub-word, without the end mark and without padding.
    concepts = torch.randn(1, sum(WORDS.values()), TEXT_DIM)
    timestep = torch.tensor([500])

    with torch.no_grad():
        plain = transformer(latents, prompt, timestep).sample
        with concept_attention(transformer, concepts) as recorder:
            watched = transformer(latents, prompt, timestep).sample
    print("output unchanged:", torch.equal(plain, watched))

    logits = recorder.logits["concept-attention"]  # (layer, b, concept token, video token)
    deep = logits[len(logits) // 2 :, 0].mean(0)  # the deeper half of the layers: (concept token, video token)
    means = [part.mean(0) for part in deep.split(list(WORDS.values()))]  # sub-words averaged
    scores = torch.stack(means).softmax(0)  # one of the concepts is good surface
    maps = scores.unflatten(1, (FRAMES, HEIGHT // PATCH, WIDTH // PATCH))  # (concept, t_lat, row, col)
    for word, values in zip(WORDS, maps, strict=True):
        print(f"{word}: map {tuple(values.shape)}, mean score {values.mean():.3f}")


if __name__ == "__main__":
    main()
