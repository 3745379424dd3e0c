"""Defects painted on pictures of parts: for generated footage, and for what `calibrate` learns of a line."""
