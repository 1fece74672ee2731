//! What the daemon does at the moment: profiles.

pub(super) mod pprof;
