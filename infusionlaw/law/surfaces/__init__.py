"""Loss surfaces: published forms of a loss as a function of size, tokens, repetition and share, and their fit."""
