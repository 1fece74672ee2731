//! A library that is loaded while the program runs, as tests of the profiler need one.

use nix::libc;
use std::{ffi::CString, mem, os::unix::ffi::OsStrExt, path::Path, ptr::NonNull};

/// A function that calls what it is given, and nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Caller(extern "C" fn(extern "C" fn()));

impl Caller {
    /// Loads it from a library, which stays.
    #[expect(unsafe_code, reason = "what a library's function takes is written nowhere")]
    pub fn load(library: &Path, function: &str) -> Option<Self> {
        let path = CString::new(library.as_os_str().as_bytes()).ok()?;
        let name = CString::new(function).ok()?;
        // SAFETY: two C strings, and a library that the test itself has compiled.
        let found = unsafe {
            let loaded = NonNull::new(libc::dlopen(path.as_ptr(), libc::RTLD_NOW))?;
            NonNull::new(libc::dlsym(loaded.as_ptr(), name.as_ptr()))?
        };
        // SAFETY: it is a function of this type.
        Some(Self(unsafe {
            mem::transmute::<*mut libc::c_void, extern "C" fn(extern "C" fn())>(found.as_ptr())
        }))
    }

    /// Has it call this.
    pub fn call(self, work: extern "C" fn()) {
        (self.0)(work);
    }
}
