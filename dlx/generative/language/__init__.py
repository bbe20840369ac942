"""Language models of characters, trained by maximum likelihood."""
