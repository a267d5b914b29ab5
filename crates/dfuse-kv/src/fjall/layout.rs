//! Names of the engine's files.

/// The engine's own directory.
pub(super) const DIRECTORY: &str = "fjall";
/// The engine makes an empty database where it misses this file of its directory, over whatever is there.
pub(super) const VERSION_FILE: &str = "version";
