//! What the process keeps in memory, as jemalloc knows it: its figures, and a sample of what was allocated where.
//!
//! The library has no allocator of its own. Where the program's is jemalloc, whoever set it says so once
//! ([`allocated_by`]); elsewhere there are no figures, and profiles are refused. See ADR 0028.

use nix::errno::Errno;
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    fs::File,
    mem::MaybeUninit,
    ptr,
    sync::OnceLock,
};

/// jemalloc's `mallctl`: reads and sets what has a name.
pub type Mallctl =
    unsafe extern "C" fn(*const c_char, *mut c_void, *mut usize, *mut c_void, usize) -> c_int;

static MALLCTL: OnceLock<Mallctl> = OnceLock::new();

/// Why there is no heap profile.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Nobody said that jemalloc allocates.
    #[error(
        "heap profiles are taken by jemalloc, which isn't this program's allocator, or nobody told Legwork: \
         docs/profiling.md says how"
    )]
    Elsewhere,
    /// It can't be switched on.
    #[error(
        "jemalloc was started without prof:true, which can't be changed while the program runs: \
         docs/profiling.md says how"
    )]
    Unarmed,
    /// jemalloc says no.
    #[error("jemalloc refused it")]
    System(#[from] Errno),
    /// There is nothing to write to.
    #[error("the system gives no file in memory for jemalloc's profile")]
    File(#[source] Errno),
    /// It doesn't say why.
    #[error(
        "jemalloc couldn't write its profile, and doesn't say why: most likely no memory is left to write it to, /proc isn't \
         mounted, or the process has as many descriptors as it may"
    )]
    Unwritten,
}

/// Bytes by what becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// What the program asked for and didn't free.
    pub allocated: usize,
    /// Pages with any of that.
    pub active: usize,
    /// What of memory it takes, the allocator's own and pages that it will give back included.
    pub resident: usize,
    /// What of it is mapped.
    pub mapped: usize,
    /// What is kept of addresses, without memory behind.
    pub retained: usize,
}

/// From now on figures and profiles come from this. Said once; a second time changes nothing.
///
/// # Safety
///
/// It has to be jemalloc's `mallctl`, of jemalloc 5.
#[expect(unsafe_code, reason = "any function of this type could be given")]
pub unsafe fn allocated_by(mallctl: Mallctl) {
    MALLCTL.get_or_init(|| mallctl);
}

/// Whether allocations are sampled.
pub fn is_active() -> Result<bool, Refused> {
    armed()?;
    Ok(read(c"prof.active")?)
}

/// Has allocations sampled from now on, or no longer. What was sampled and isn't freed stays until [`forget`].
pub fn set_active(active: bool) -> Result<(), Refused> {
    armed()?;
    Ok(write(c"prof.active", active)?)
}

/// Throws away what was sampled.
pub fn forget() -> Result<(), Refused> {
    armed()?;
    let interval: usize = read(c"prof.lg_sample")?;
    Ok(write(c"prof.reset", interval)?)
}

/// Does this without having it sampled, on this thread.
pub fn unsampled<T>(work: impl FnOnce() -> T) -> T {
    let _again = read(c"thread.prof.active").ok().map(Again);
    write(c"thread.prof.active", false).ok();
    work()
}

/// Whether this thread was sampled; it is again, however the work ends.
struct Again(bool);

impl Drop for Again {
    fn drop(&mut self) {
        write(c"thread.prof.active", self.0).ok();
    }
}

/// Gives the system back at once what this thread allocated and is free again. By itself jemalloc does so some seconds later, and
/// only where somebody goes on allocating there.
pub fn give_back() {
    let Ok(arena) = read::<u32>(c"thread.arena") else { return };
    act(c"thread.tcache.flush").ok();
    if let Ok(name) = CString::new(format!("arena.{arena}.purge")) {
        act(&name).ok();
    }
}

/// What was sampled, as jemalloc writes it down: a text, in a file that is nowhere but in memory. So there needn't be
/// a directory that can be written to, and nothing stays behind.
#[cfg(target_os = "linux")]
pub fn dump() -> Result<File, Refused> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::os::fd::AsRawFd;
    armed()?;
    let file = memfd_create(c"heap", MFdFlags::MFD_CLOEXEC).map_err(Refused::File)?;
    // jemalloc opens what it writes to by a name. By this one it is a second opening of the same file: ours stays at
    // its beginning.
    let path = format!("/proc/self/fd/{}\0", file.as_raw_fd());
    write(c"prof.dump", path.as_ptr()).map_err(of_dump)?;
    Ok(File::from(file))
}

/// Why a profile wasn't written. Whatever kept it from that, jemalloc calls it a bad address, and keeps what the system said
/// to itself.
#[cfg(target_os = "linux")]
fn of_dump(error: Errno) -> Refused {
    if error == Errno::EFAULT { Refused::Unwritten } else { Refused::System(error) }
}

/// Only Linux has such files.
#[cfg(not(target_os = "linux"))]
pub fn dump() -> Result<File, Refused> {
    Err(Refused::Elsewhere)
}

/// The figures of this moment; none where jemalloc doesn't allocate, or keeps none.
pub fn figures() -> Option<Figures> {
    // What is read below is as it was when this was last written.
    write(c"epoch", 1_u64).ok()?;
    Some(Figures {
        allocated: read(c"stats.allocated").ok()?,
        active: read(c"stats.active").ok()?,
        resident: read(c"stats.resident").ok()?,
        mapped: read(c"stats.mapped").ok()?,
        retained: read(c"stats.retained").ok()?,
    })
}

/// Whether there could be a profile at all.
pub fn armed() -> Result<(), Refused> {
    if MALLCTL.get().is_none() {
        return Err(Refused::Elsewhere);
    }
    // A jemalloc that was built without profiles doesn't know the name.
    if read::<bool>(c"opt.prof").unwrap_or(false) { Ok(()) } else { Err(Refused::Unarmed) }
}

/// What jemalloc has under names, in C's form of it; a pointer is one to a file's name, and `dump` alone gives one.
trait Plain: Copy {}
impl Plain for bool {}
impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for usize {}
impl Plain for *const u8 {}

#[expect(unsafe_code, reason = "a function of C")]
fn read<T: Plain>(name: &CStr) -> Result<T, Errno> {
    let mallctl = MALLCTL.get().ok_or(Errno::ENOSYS)?;
    let mut value = MaybeUninit::<T>::uninit();
    let mut length = size_of::<T>();
    // SAFETY: the name ends with NUL; value and length are writable and say how much may be written. It refuses
    // (EINVAL) to write a value of another length, so that on success all of it was written, by a type of C that has
    // the form of ours.
    unsafe {
        let code =
            mallctl(name.as_ptr(), value.as_mut_ptr().cast(), &raw mut length, ptr::null_mut(), 0);
        if code == 0 { Ok(value.assume_init()) } else { Err(Errno::from_raw(code)) }
    }
}

#[expect(unsafe_code, reason = "a function of C")]
fn write<T: Plain>(name: &CStr, mut value: T) -> Result<(), Errno> {
    let mallctl = MALLCTL.get().ok_or(Errno::ENOSYS)?;
    let (none, length) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the name ends with NUL, the value is read for as many bytes as it has, and a pointer in it leads to a
    // string that outlives the call. It refuses a value of another length.
    let code =
        unsafe { mallctl(name.as_ptr(), none, length, (&raw mut value).cast(), size_of::<T>()) };
    if code == 0 { Ok(()) } else { Err(Errno::from_raw(code)) }
}

/// Has done what is done by its name alone.
#[expect(unsafe_code, reason = "a function of C")]
fn act(name: &CStr) -> Result<(), Errno> {
    let mallctl = MALLCTL.get().ok_or(Errno::ENOSYS)?;
    let none = ptr::null_mut();
    // SAFETY: the name ends with NUL, and nothing is read or written where there are no pointers.
    let code = unsafe { mallctl(name.as_ptr(), none, ptr::null_mut(), none, 0) };
    if code == 0 { Ok(()) } else { Err(Errno::from_raw(code)) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_was_not_written_is_no_bad_address() {
        let unwritten = of_dump(Errno::EFAULT).to_string();
        assert!(unwritten.starts_with("jemalloc couldn't write its profile"), "{unwritten}");
        assert!(!unwritten.contains("address"), "{unwritten}");
        assert!(matches!(of_dump(Errno::EAGAIN), Refused::System(Errno::EAGAIN)));
    }
}
