"""Updates: what has to travel to turn one bundle into the next, and how the next is put together from it.

An update is a ZIP file. ``update.json`` lists every file of the new bundle and where its bytes come from: from a file
of the old bundle as it is, from pieces of one and bytes that the update carries, or from the update alone. Nothing in
it is trusted: what it makes is checked like any other bundle, against the new bundle's own manifests and signatures.
"""
