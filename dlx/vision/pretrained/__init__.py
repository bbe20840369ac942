"""Networks that were trained on ImageNet, as feature extractors."""
