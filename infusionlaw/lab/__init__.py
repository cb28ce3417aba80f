"""The lab: makes a corpus of general text and infused facts, trains small models on it and probes what they know."""
