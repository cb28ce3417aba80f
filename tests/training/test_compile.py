"""Compiled layers: the same mathematics, a choice that no clock makes, and no harm where nothing can be compiled."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from infusionlaw.training import compile as compiling
from infusionlaw.training.compile import code_folder, compile_if_worth, compile_layers, piece_of, worth_compiling
from infusionlaw.training.loop import time_steps, train
from infusionlaw.training.model import Model
from infusionlaw.training.recipe import Recipe, recipe_for, shape_for
from infusionlaw.training.step import Stepper

CPU = torch.device("cpu")
BATCH, BLOCK = 4, 128


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.compiler.reset()
    compiling._latest.clear()


def models(members: int) -> Model:
    return Model(shape_for(10_000, 512), [torch.Generator().manual_seed(3 + i) for i in range(members)])


def recipe_and_parts(corpus, seed: int = 1):
    """The shape of `models`, so that all tests compile the same code."""
    recipe = recipe_for(10_000, 60_000, vocabulary=corpus.tokenizer.vocabulary, batch_factor=3.1)
    assert (recipe.batch, recipe.block) == (BATCH, BLOCK)
    return Model(recipe.shape, [torch.Generator().manual_seed(seed)]), recipe, corpus.mixture(0.5, 0.25, seed)


def gradients(model: Model, blocks: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    loss = model.loss(blocks[..., :-1], blocks[..., 1:])
    loss.sum().backward()
    found = [weight.grad for weight in model.parameters() if weight.grad is not None]
    model.zero_grad(set_to_none=True)
    return loss.detach(), found


def test_loss_and_gradients_are_those_of_the_interpreted_layers() -> None:
    model = models(2)
    blocks = torch.randint(0, 512, (2, BATCH, BLOCK + 1), generator=torch.Generator().manual_seed(7))
    plain = gradients(model, blocks)
    if not compile_layers(model, BATCH, BLOCK):
        pytest.skip("no C++ compiler")
    fast = gradients(model, blocks)
    torch.testing.assert_close(fast[0], plain[0], atol=1e-5, rtol=1e-5)
    for one, other in zip(fast[1], plain[1], strict=True):
        assert (one - other).norm() < 1e-4 * other.norm()
    assert all(weight.grad is None for weight in model.parameters())
    # Each is as it would be alone, and one that is lost does not disturb the other.
    alone = model.alone(1)
    assert compile_layers(alone, BATCH, BLOCK)
    single = gradients(alone, blocks[1:])
    torch.testing.assert_close(fast[0][1:], single[0])
    for one, other in zip(fast[1], single[1], strict=True):
        assert (one[1] - other[0]).norm() < 1e-4 * other.norm()
    with torch.no_grad():
        model.final_norm.weight[0, 0] = float("nan")
    spoilt = gradients(model, blocks)
    assert spoilt[0][0].isnan() and spoilt[0][1] == fast[0][1]
    assert all(torch.equal(one[1], other[1]) for one, other in zip(spoilt[1], fast[1], strict=True))


def test_steps_and_probes_of_a_compiled_model_compile_nothing_more(corpus, tmp_path) -> None:
    model, recipe, mixture = recipe_and_parts(corpus)
    if not compile_layers(model, recipe.batch, recipe.block):
        pytest.skip("no C++ compiler")
    with torch.compiler.set_stance("fail_on_recompile"):
        train(model, recipe, [mixture], [tmp_path], checkpoint_every=10**9)
        for length in (5, 17):
            model.hidden(torch.zeros(1, 2, length, dtype=torch.int64))
        other, _, _ = recipe_and_parts(corpus, seed=2)
        assert compile_layers(other, recipe.batch, recipe.block)


def test_a_step_in_pieces_is_the_step(monkeypatch) -> None:
    assert [piece_of(batch, 128) for batch in (1, 8, 12, 13, 14, 26, 32)] == [1, 8, 6, 13, 7, 26, 8]
    assert piece_of(3, 4096) == 3
    recipe = recipe_for(10_000, 900_000, vocabulary=512)
    assert recipe.batch == 6
    blocks = torch.randint(0, 512, (2, recipe.batch, BLOCK + 1), generator=torch.Generator().manual_seed(7))
    results = []
    for piece in (0, 1, 3):
        model = models(2)
        model.piece = piece
        results.append((*Stepper(model, recipe)(blocks, 0), *model.parameters()))
    monkeypatch.setattr("infusionlaw.training.recipe.MOST_ACTIVATIONS", recipe.memory_parts["activations"] / 1.4)
    assert recipe.piece == 3
    results.append((*Stepper(model := models(2), recipe)(blocks, 0), *model.parameters()))
    for other in results[1:]:
        for one, same in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, same, atol=1e-5, rtol=1e-4)


class Stop(Exception):
    pass


def test_a_compiled_run_stopped_anywhere_resumes_to_the_same_bits(corpus, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(compiling, "LEAST_WORK", 0.0)

    def stop_at(step: int, rows: object) -> None:
        if step >= 50:
            raise Stop

    results = []
    for place, stops in (("whole", False), ("cut", True), ("cut", False)):
        model, recipe, mixture = recipe_and_parts(corpus)
        options = {"checkpoint_every": 20, **({"on_progress": stop_at} if stops else {})}
        try:
            train(model, recipe, [mixture], [tmp_path / place], **options)
        except Stop:
            continue
        results.append(model.weights_of(0))
        torch.compiler.reset()  # as in another process
        compiling._latest.clear()
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
    assert time_steps(model, recipe, [mixture], seconds=0.01) > 0


def test_the_choice_follows_from_the_recipe_and_the_device(monkeypatch) -> None:
    shape = shape_for(147_000, 1024)

    def tokens_of(work: float) -> int:
        return int(work / (6 * shape.total_size))

    def recipe(tokens: int, shortest: int = 0) -> Recipe:
        return recipe_for(147_000, tokens, vocabulary=1024, shortest=shortest)

    least, shared = tokens_of(compiling.LEAST_WORK), tokens_of(compiling.LEAST_SHARED_WORK)
    worth = [recipe(int(1.05 * least)), recipe(shared * 4, int(1.05 * shared))]
    not_worth = [recipe(int(0.95 * least)), recipe(least * 4, int(0.95 * shared))]
    assert all(worth_compiling(each, CPU) for each in worth)
    assert not any(worth_compiling(each, CPU) for each in not_worth)
    on_gpu, states = torch.device("cuda"), shape.layers * shape.d_model
    together = recipe(int(1.05 * compiling.LEAST_STATES / states / 8))
    assert worth_compiling(together, on_gpu, members=8) and not worth_compiling(together, on_gpu, members=7)
    family = recipe(12_000_000, int(1.05 * compiling.LEAST_SHARED_STATES / states / 8))
    assert worth_compiling(family, on_gpu, members=8) and not worth_compiling(family, on_gpu, members=7)
    tried = []
    monkeypatch.setattr(compiling, "compile_layers", lambda model, batch, block: tried.append((batch, block)))
    model = Model(shape, [torch.Generator().manual_seed(0)])
    for each in (*worth, *not_worth):
        compile_if_worth(model, each)
    assert tried == [(each.batch, 128) for each in worth]


@pytest.mark.parametrize("harm", ["no compiler", "a broken compiler", "no place for code"])
def test_where_nothing_can_be_compiled_training_goes_on(harm: str, corpus, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(compiling, "LEAST_WORK", 0.0)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if harm == "no compiler":
        monkeypatch.setenv("CXX", "no-such-compiler")
    elif harm == "a broken compiler":
        monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("false",))
    else:
        (tmp_path / "cache").write_text("a file")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "cache"))
    model, recipe, mixture = recipe_and_parts(corpus)
    assert train(model, recipe, [mixture], [tmp_path / "run"], checkpoint_every=10**9) == ["ok"]
    assert model.compiled is None


def test_code_goes_to_a_folder_of_ones_own_where_the_cache_cannot_be_written(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert code_folder() == tmp_path / "cache" / "infusionlaw" / "compiled" and not caplog.messages
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    (own,) = {code_folder(), code_folder()}
    assert own is not None and own.parent == tmp_path and own.stat().st_mode & 0o777 == 0o700
    assert caplog.messages[0].endswith(f"cannot be written; compiled code goes to {own}")
    own.rmdir()
    own.symlink_to(tmp_path / "cache")
    assert code_folder() is None


def test_the_folder_for_code_is_chosen_before_pytorch_chooses_one(corpus, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(compiling, "LEAST_WORK", 0.0)
    monkeypatch.setattr(compiling, "compile_layers", lambda *given: False)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model, recipe, mixture = recipe_and_parts(corpus)
    time_steps(model, recipe, [mixture], seconds=0.0)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "infusionlaw" / "compiled")
