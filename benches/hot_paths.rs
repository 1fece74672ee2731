//! The hot paths in process: what each job costs the daemon apart from Postgres, in time and in
//! allocations. `make bench` runs it.
#![allow(missing_docs, reason = "a benchmark has no readers of its documentation")]

fn main() {
    divan::main();
}
