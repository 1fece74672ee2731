//! What the daemon does at the moment: profiles.

pub(super) mod heap;
pub(super) mod pprof;
