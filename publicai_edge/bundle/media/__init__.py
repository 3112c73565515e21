"""Carrying a bundle on a USB stick or another small medium."""
