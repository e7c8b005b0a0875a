"""What operators and developers read; `docs.generate` writes the parts that the code knows better."""
