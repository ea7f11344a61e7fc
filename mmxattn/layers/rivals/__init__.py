"""What the papers compare their designs with, in plain PyTorch: one file each, in the style of the parts."""
