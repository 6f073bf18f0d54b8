"""Reference implementations: plain PyTorch, straight from the formulas."""
