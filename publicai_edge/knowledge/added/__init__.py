"""Documents that staff add to a bundle where it stands, beside it: the bundle itself is signed, and never changed."""
