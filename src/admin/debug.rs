//! What the daemon does at the moment: profiles, traces of its execution, and all of it in one archive.

pub(super) mod bundle;
pub(super) mod heap;
pub(super) mod pprof;
pub(super) mod trace;
