//! Whose process this is, for people.

use nix::unistd::{User, getuid};

/// The account's name; its number where it has none here, as in a container.
pub fn name() -> String {
    let id = getuid();
    let known = User::from_uid(id).ok().flatten();
    known.map_or_else(|| format!("user {id}"), |user| user.name)
}
