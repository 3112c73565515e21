"""The bundle: a folder that is a BagIt bag (RFC 8493), with ``bundle.json`` to say what is in it."""
