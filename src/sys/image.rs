//! What a child execs, prepared before the fork: a path, its arguments and its whole environment.
//!
//! `std` execs by `execvp`, and that hands a file that the kernel doesn't recognise to `/bin/sh`: an
//! emptied program would do nothing, and do it well. [`exec`](Image::exec) asks the kernel alone, so
//! that such a file is an error like any other.

use std::{
    ffi::{CString, OsStr},
    io,
    os::unix::ffi::OsStrExt,
    process::Command,
    ptr,
};

use nix::libc::{self, c_char};

/// Strings as `execve` takes them.
#[derive(Debug)]
pub(super) struct Image {
    path: CString,
    arguments: Strings,
    variables: Strings,
}

/// C strings, and the list of pointers to them that ends with null.
#[derive(Debug)]
struct Strings {
    /// The pointers' target: a string's bytes stay where they are when it is moved.
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers lead to what the same value owns, nothing writes to that, and nobody but the
// kernel reads it.
#[expect(unsafe_code, reason = "raw pointers are neither Send nor Sync by themselves")]
unsafe impl Send for Strings {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "raw pointers are neither Send nor Sync by themselves")]
unsafe impl Sync for Strings {}

impl Strings {
    fn of(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|it| it.as_ptr()).chain([ptr::null()]).collect();
        Self { _owned: owned, pointers }
    }
}

impl Image {
    /// The program of a command with its arguments and the variables that the command sets, and no
    /// others.
    pub(super) fn of(command: &Command) -> Self {
        let program = command.get_program();
        let words = [program].into_iter().chain(command.get_args());
        let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let pair = |(name, value): (&OsStr, &OsStr)| {
            string(&[name.as_bytes(), b"=", value.as_bytes()].concat())
        };
        Self {
            path: string(program.as_bytes()),
            arguments: Strings::of(words.map(|word| string(word.as_bytes())).collect()),
            variables: Strings::of(set.map(pair).collect()),
        }
    }

    /// Becomes the program; returns only why that failed. One system call.
    #[expect(unsafe_code, reason = "nix's execve allocates, which a fork mustn't")]
    pub(super) fn exec(&self) -> io::Error {
        let (arguments, variables) = (&self.arguments.pointers, &self.variables.pointers);
        // SAFETY: a C string and two lists of such that end with null, all alive in `self`.
        unsafe { libc::execve(self.path.as_ptr(), arguments.as_ptr(), variables.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// A NUL inside can't be said; `std` refuses to start a command that has one.
fn string(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}
