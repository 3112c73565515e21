"""``publicai-edge verify``: is every byte of a bundle what was built?"""

from publicai_edge.cli import options


def verify(
    bundle: options.BundlePath,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Check that a bundle is whole and unchanged; names every file that was changed, added or is missing.

    Example:  publicai-edge verify dist/demo-library-1.0.0
    """
    from publicai_edge.bundle.verify import verify as run

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    found = run(bundle, console)
    manifest = found.manifest
    console.warn("Bundles are not signed yet: this one is whole, but nothing vouches for where it came from.")
    value = {
        "bundle": str(bundle),
        "name": manifest.name,
        "version": manifest.version,
        "release": manifest.release,
        "steward": manifest.steward.name,
        "files": found.files,
        "bytes": found.bytes,
        "signed": False,
    }
    size = found.bytes / 1e6
    console.data(
        value,
        f"{manifest.folder_name} is whole: {found.files} files, {size:,.1f} MB, none changed since it was built. "
        f"It says that {manifest.steward.name} answers for it.",
    )
