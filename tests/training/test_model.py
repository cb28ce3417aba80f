"""The decoder: counted parameters, causality, gradients, and equality with transformers."""

import pytest
import torch
import torch.nn.functional as F

from infusionlaw.corpus.tokens import Tokenizer, train_tokenizer
from infusionlaw.training import model as model_module
from infusionlaw.training.export import export
from infusionlaw.training.model import Model
from infusionlaw.training.recipe import shape_for


def small(size: int = 25_000, vocabulary: int = 300, members: int = 1) -> Model:
    return Model(shape_for(size, vocabulary), [torch.Generator().manual_seed(3 + i) for i in range(members)])


def tokens(model: Model, *shape: int) -> torch.Tensor:
    return torch.randint(0, model.shape.vocabulary, shape, generator=torch.Generator().manual_seed(5))


def test_counted_parameters_are_the_real_ones() -> None:
    model = small()
    assert sum(p.numel() for p in model.parameters()) == model.shape.total_size
    assert model.shape.size == model.shape.total_size - model.embedding.weight.numel()


def test_a_state_depends_on_no_later_token() -> None:
    model, x = small(), tokens(small(), 1, 20)
    embedded = model.embedding.weight[0, x].detach().requires_grad_()
    h = embedded
    for layer in model.layers:
        h = layer(h, model._rotations(20, h.device))
    h[0, 11].sum().backward()
    assert embedded.grad is not None
    assert embedded.grad[0, :12].abs().sum(-1).min() > 0
    assert embedded.grad[0, 12:].abs().max() == 0


@pytest.mark.parametrize("chunk", [1 << 18, 3000])
def test_loss_and_gradients_equal_plain_autograd(monkeypatch, chunk) -> None:
    monkeypatch.setitem(model_module._CHUNK, "cpu", chunk)
    model, x, y = small(), tokens(small(), 3, 17), tokens(small(), 3, 17).flip(0)
    loss = model.loss(x[None], y[None])
    loss.sum().backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    h = model.embedding.weight[0, x]
    for layer in model.layers:
        h = plain_layer(layer, h)
    h = F.rms_norm(h, h.shape[-1:], model.final_norm.weight[0], 1e-5)
    plain = F.cross_entropy((h @ model.embedding.weight[0].T).flatten(0, 1), y.flatten())
    plain.backward()
    assert loss.item() == pytest.approx(plain.item(), abs=1e-6)
    for name, p in model.named_parameters():
        torch.testing.assert_close(ours[name], p.grad, atol=1e-6, rtol=1e-4, msg=name)


def test_members_start_as_they_would_alone_and_never_mix() -> None:
    model, x = small(members=2), tokens(small(), 2, 3, 17)
    for member in range(2):
        alone = Model(model.shape, [torch.Generator().manual_seed(3 + member)])
        assert all(torch.equal(alone.weights_of(0)[name], w) for name, w in model.weights_of(member).items())
        torch.testing.assert_close(model.logits(x)[member], alone.logits(x[member : member + 1])[0])
        assert torch.equal(model.alone(member).logits(x[:1]), alone.logits(x[:1]))
    model.loss(x, x)[0].backward()
    assert all(p.grad is not None and p.grad[0].any() and not p.grad[1].any() for p in model.parameters())


def plain_layer(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The same layer from torch's own norm, an explicit rotation and explicit attention."""
    B, T, C = x.shape
    K = layer.head_width
    normed = F.rms_norm(x, (C,), layer.attention_norm.weight[0], 1e-5)
    q, k, v = (normed @ layer.qkv.weight[0].T).view(B, T, 3, layer.heads, K).permute(2, 0, 3, 1, 4)
    angle = torch.arange(T)[:, None] * 10_000.0 ** (-torch.arange(0, K, 2) / K)
    cos, sin = angle.cos(), angle.sin()

    def turn(y: torch.Tensor) -> torch.Tensor:
        a, b = y[..., 0::2], y[..., 1::2]
        return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)

    scores = turn(q) @ turn(k).transpose(-1, -2) / K**0.5
    scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), float("-inf"))
    x = x + (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C) @ layer.attention_out.weight[0].T
    gate, up = (F.rms_norm(x, (C,), layer.feed_norm.weight[0], 1e-5) @ layer.gate_up.weight[0].T).chunk(2, -1)
    return x + F.silu(gate) * up @ layer.down.weight[0].T


@pytest.mark.parametrize("size", [14_000, 150_000])
def test_exported_model_has_the_same_logits_in_transformers(tmp_path, size: int) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    model = small(size)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5).add_(0.01)
    tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1}, [])).save(str(tmp_path / "tokenizer.json"))
    export(model, tmp_path / "tokenizer.json", 0, 128, tmp_path / "hf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)
    x = tokens(model, 2, 100)
    with torch.no_grad():
        difference = (theirs(x).logits - model.logits(x[None])[0]).abs().max().item()
    assert difference <= 1e-5
    assert type(theirs).__name__ == "LlamaForCausalLM"
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "hf").encode("ab") == [0, 1]


def test_an_exported_folder_pads_and_generates_with_tokens_that_it_has(tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    model = small(14_000)
    train_tokenizer(["a text", "another text"], model.shape.vocabulary, "<end>", tmp_path / "tokenizer.json")
    end = Tokenizer(tmp_path / "tokenizer.json", "<end>").end_of_text
    export(model, tmp_path / "tokenizer.json", end, 128, tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id] == [end] * 3
    assert len(tokenizer) <= model.shape.vocabulary and tokenizer.model_max_length == 128
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    texts = ["a text", "another longer text"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    out = theirs.generate(**batch, max_new_tokens=5, do_sample=False)
    assert out.max() < model.shape.vocabulary
    longest = batch["input_ids"].shape[1]
    alone = [
        theirs.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=5, do_sample=False) for text in texts
    ]
    for row, one, mask in zip(out, alone, batch["attention_mask"], strict=True):
        assert row[longest:].tolist() == one[0, int(mask.sum()) :].tolist()
    pipe = transformers.pipeline("text-generation", model=str(tmp_path / "hf"), device="cpu")
    said = pipe(texts, max_new_tokens=5, do_sample=False, batch_size=2, return_full_text=False)
    assert [one[0]["generated_text"] for one in said] == tokenizer.batch_decode(
        out[:, longest:], skip_special_tokens=True
    )


def test_log_probabilities_are_those_of_the_logits_whether_a_beginning_is_read_once_or_not() -> None:
    model = small()
    of = torch.tensor([1, 0, 1, 1, 0])
    ids = torch.cat([tokens(model, 2, 9)[of], tokens(model, 5, 6)], 1)
    scored = torch.zeros(5, 14, dtype=torch.bool)
    scored[:, 9:12] = True
    with torch.no_grad():
        log_p = model.logits(ids[None, :, :-1])[0].log_softmax(-1)
    right = log_p.gather(2, ids[:, 1:, None])[..., 0][scored]
    likeliest = (log_p.argmax(-1) == ids[:, 1:])[scored]
    for more in ({}, {"shared": 9, "of_B": of}):
        value, best = model.log_probabilities(ids, scored, **more)
        torch.testing.assert_close(value, right)
        assert torch.equal(best, likeliest)
