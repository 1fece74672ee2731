//! What this program was built from: for the metrics, the admin port and `--version`.

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The first digits of the commit, or `unknown`; `build.rs` finds it.
pub const COMMIT: &str = env!("LEGWORK_COMMIT");
/// Both, for people.
pub const LONG_VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("LEGWORK_COMMIT"), ")");
