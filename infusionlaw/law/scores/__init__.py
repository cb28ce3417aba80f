"""What a law needs besides its points: plateaus, scores without a dose, the rise of validation loss, seeds."""
