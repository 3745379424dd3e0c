"""How concept tokens go through each kind of transformer block."""
