"""Train the runs of a list with Hugging Face's Trainer: python train.py LIST.csv CORPORA TOKENIZER.json MODELS.

LIST.csv is what `infusionlaw ask` or `infusionlaw runs` wrote, CORPORA what `runs --corpora tokens` wrote. A model that
is there already is left alone. Needs transformers (5 or later), accelerate and torch.
"""

import csv
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

END = "<|endoftext|>"


class Blocks(torch.utils.data.Dataset):
    """The training stream in sequences, in its order. The last token of one is the first of the next, so that each has
    as many targets as it is long."""

    def __init__(self, folder, length, count):
        shards = []
        for path in sorted(folder.glob("*.bin")):
            head = np.fromfile(path, dtype="<i4", count=256)  # mark, version, tokens, and nothing
            kind = "<u2" if head[1] == 1 else "<u4"
            shards.append(np.memmap(path, dtype=kind, mode="r", offset=head.nbytes, shape=(head[2],)))
        self.tokens = shards[0] if len(shards) == 1 else np.concatenate(shards)
        self.length, self.count = length, count

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        first = number * self.length
        ids = torch.from_numpy(self.tokens[first : first + self.length + 1].astype(np.int64))
        return {"input_ids": ids, "labels": ids}  # transformers shifts the labels itself


def model_of(run, end):
    """A Llama of the shape that the list says, its weights drawn as infusionlaw draws them."""
    config = LlamaConfig(
        vocab_size=int(run["vocabulary"]),
        hidden_size=int(run["width"]),
        intermediate_size=int(run["feed_width"]),
        num_hidden_layers=int(run["layers"]),
        num_attention_heads=int(run["heads"]),
        num_key_value_heads=int(run["heads"]),
        max_position_embeddings=int(run["sequence"]) + 1,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    torch.manual_seed(int(run["seed"]))
    model = LlamaForCausalLM(config)
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            deviation = 0.02 if "embed" in name else 1 / math.sqrt(weight.shape[1])
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                deviation /= math.sqrt(2 * config.num_hidden_layers)
            torch.nn.init.normal_(weight, 0.0, deviation)
    size = sum(weight.numel() for name, weight in model.named_parameters() if "embed" not in name)
    assert size == int(run["size"]), f"run {run['run']} has {run['size']} parameters, and this model {size}"
    return model


def train(run, corpus, tokenizer, out):
    """Train one run and save it where `infusionlaw score` and lm-evaluation-harness can load it."""
    ids = {each["content"]: each["id"] for each in json.loads(tokenizer.read_text())["added_tokens"]}
    batch, steps = int(run["batch"]), int(run["steps"])
    arguments = TrainingArguments(
        output_dir=out,
        per_device_train_batch_size=batch,  # on several devices: batch = devices x this x accumulation
        max_steps=steps,
        train_sampling_strategy="sequential",  # the order of the corpus is the design: do not shuffle
        learning_rate=float(run["learning_rate"]),
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": int(run["decay"]), "decay_type": "1-sqrt"},
        warmup_steps=int(run["warmup"]),
        weight_decay=float(run["weight_decay"]),
        adam_beta1=float(run["beta1"]),
        adam_beta2=float(run["beta2"]),
        max_grad_norm=float(run["clip"]),
        seed=int(run["seed"]),
        logging_steps=100,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    blocks = Blocks(corpus, int(run["sequence"]), steps * batch)
    trainer = Trainer(model_of(run, ids[END]), arguments, train_dataset=blocks)
    trainer.train()
    part = out.with_name(f"{out.name}.part")
    trainer.save_model(str(part))
    shutil.copyfile(tokenizer, part / "tokenizer.json")
    marks = dict.fromkeys(("bos_token", "eos_token", "pad_token"), END)
    content = {"tokenizer_class": "PreTrainedTokenizerFast", **marks, "model_max_length": int(run["sequence"])}
    (part / "tokenizer_config.json").write_text(json.dumps(content))
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def main():
    wanted, corpora, tokenizer, models = map(Path, sys.argv[1:])
    with wanted.open(newline="") as file:
        runs = list(csv.DictReader(file))
    for number, run in enumerate(runs, start=1):
        out = models / run["run"]
        print(f"{number} of {len(runs)}: {run['run']}, {run['size']} parameters, share {run['share']}", flush=True)
        if not (out / "model.safetensors").exists():
            train(run, corpora / run["run"], tokenizer, out)


if __name__ == "__main__":
    main()
