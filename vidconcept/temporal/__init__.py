"""Time: stitching, motion, un-pooling and regularisation of concept maps; pure functions on arrays."""
