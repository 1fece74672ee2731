//! What the daemon does at the moment: profiles, and traces of its execution.

pub(super) mod heap;
pub(super) mod pprof;
pub(super) mod trace;
