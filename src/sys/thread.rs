//! The number of a thread, as the kernel and its tools know it.

use std::cell::Cell;

thread_local! {
    /// Asked of the kernel once; 0 before.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// That of the thread that calls this.
pub fn thread_number() -> u64 {
    // A thread on its way out has lost what it kept, and asks again.
    let known = NUMBER.try_with(Cell::get).unwrap_or(0);
    if known != 0 {
        return known;
    }
    let number = ask();
    NUMBER.try_with(|kept| kept.set(number)).ok();
    number
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn ask() -> u64 {
    u64::try_from(nix::unistd::gettid().as_raw()).unwrap_or(u64::MAX)
}

/// Where the kernel doesn't say: in the order in which threads asked.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn ask() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_one_number_and_another_thread_another() {
        let ours = thread_number();
        assert_eq!(thread_number(), ours);
        let theirs = std::thread::spawn(thread_number).join().expect("a number");
        assert_ne!(ours, theirs);
    }
}
