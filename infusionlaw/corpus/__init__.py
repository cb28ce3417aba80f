"""From facts and text to training data: facts, questions, general text, tokenizer, infusion. No torch."""
