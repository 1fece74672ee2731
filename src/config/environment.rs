//! The process's environment, read once and handed down as a value.
//!
//! Environment variables are global and may change under a running process; reading them in one
//! place at one moment makes the rest of the program a function of what it was given, and lets
//! tests give it anything. It doesn't interpret `LEGWORK_…`; `overlay` does.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

/// What the process was started with, and on what.
#[derive(Debug, Clone)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    hostname: String,
    cpus: usize,
}

impl Environment {
    /// The environment of this process, as it is now. Variables whose *name* isn't UTF-8 are left
    /// out: nothing could ask for them.
    pub fn of_process() -> Self {
        let utf8 = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        let variables: BTreeMap<_, _> = std::env::vars_os().filter_map(utf8).collect();
        let named = variables.get("HOSTNAME").and_then(|name| name.to_str()).map(str::to_owned);
        let asked = || nix::unistd::gethostname().ok()?.into_string().ok();
        let hostname = named.filter(|name| !name.is_empty()).or_else(asked);
        Self {
            variables,
            hostname: hostname.unwrap_or_else(|| "localhost".into()),
            // Counts the cgroup's quota, so a container of half a core isn't taken for the machine.
            cpus: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }

    /// Exactly these variables, a host called `host` and 4 CPUs: for tests and embedding programs
    /// that want nothing from outside.
    pub fn of<N: Into<String>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        Self { variables, hostname: "host".into(), cpus: 4 }
    }

    /// A variable that is set, not empty and UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw(name)?.to_str().filter(|text| !text.is_empty())
    }

    /// A variable as it is.
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(name).map(OsString::as_os_str)
    }

    /// Every variable whose name starts so, sorted by name.
    pub(super) fn starting_with<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a OsStr)> {
        let from = self.variables.range(prefix.to_owned()..);
        from.take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.as_os_str()))
    }

    /// The host's name, for `{hostname}`.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// CPUs that this process may use, at least 1.
    pub fn cpus(&self) -> usize {
        self.cpus
    }

    /// Where systemd wants to hear of readiness (`NOTIFY_SOCKET`).
    pub fn notify_socket(&self) -> Option<&OsStr> {
        self.raw("NOTIFY_SOCKET").filter(|path| !path.is_empty())
    }

    /// How long systemd waits for a sign of life of process `pid` (`WATCHDOG_USEC`, `WATCHDOG_PID`).
    pub fn watchdog(&self, pid: u32) -> Option<Duration> {
        let meant = self.text("WATCHDOG_PID").is_none_or(|text| text.parse() == Ok(pid));
        let limit = Duration::from_micros(self.text("WATCHDOG_USEC")?.parse().ok()?);
        (meant && !limit.is_zero()).then_some(limit)
    }

    /// The directories of `PATH`, absolute ones only: a relative one would make what is run depend
    /// on where the daemon was started.
    pub fn search_path(&self) -> Vec<PathBuf> {
        let Some(path) = self.raw("PATH") else { return Vec::new() };
        std::env::split_paths(path).filter(|directory| directory.is_absolute()).collect()
    }

    /// Whether output must not be coloured (`NO_COLOR`, set to anything but nothing).
    pub fn no_color(&self) -> bool {
        self.raw("NO_COLOR").is_some_and(|value| !value.is_empty())
    }

    /// Which bug this process is to have, of those that its build can have (`SEEDED_BUG`).
    #[cfg(legwork_seeded_bugs)]
    pub fn seeded_bug(&self) -> Option<&str> {
        self.text("SEEDED_BUG")
    }

    /// Where systemd put the service's credentials (`CREDENTIALS_DIRECTORY`).
    pub fn credentials_directory(&self) -> Option<PathBuf> {
        self.raw("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from)
    }
}

/// Whom to connect as where a URL names nobody, as libpq has it: the user that this process runs as.
/// Nobody from here where `PGUSER` says it, which the driver reads itself.
pub(super) fn user_of_process() -> Result<Option<String>, String> {
    if Environment::of_process().text("PGUSER").is_some() {
        return Ok(None);
    }
    let id = nix::unistd::geteuid();
    let found = nix::unistd::User::from_uid(id).ok().flatten();
    let nameless = || {
        format!(
            "it names no user, and this process's own (id {id}) has no name: write \
             postgres://user@host/database, or set PGUSER"
        )
    };
    found.map(|user| Some(user.name)).ok_or_else(nameless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::absent(&[], None)]
    #[case::set(&[("WATCHDOG_USEC", "30000000")], Some(30))]
    #[case::ours(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "7")], Some(30))]
    #[case::of_another_process(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "8")], None)]
    #[case::zero(&[("WATCHDOG_USEC", "0")], None)]
    #[case::nonsense(&[("WATCHDOG_USEC", "soon")], None)]
    fn the_watchdog_counts_only_if_it_means_this_process(
        #[case] variables: &[(&str, &str)],
        #[case] seconds: Option<u64>,
    ) {
        let environment = Environment::of(variables.iter().copied());
        assert_eq!(environment.watchdog(7), seconds.map(Duration::from_secs));
    }

    #[test]
    fn relative_and_empty_parts_of_path_are_not_searched() {
        let environment = Environment::of([("PATH", "/usr/bin::bin:/opt/pg/bin")]);
        let expected = ["/usr/bin", "/opt/pg/bin"].map(PathBuf::from);
        assert_eq!(environment.search_path(), expected);
    }

    #[test]
    fn no_color_counts_unless_empty() {
        let no_color = |value: &str| Environment::of([("NO_COLOR", value)]).no_color();
        assert!(no_color("1") && no_color("0") && !no_color(""));
    }

    #[test]
    fn the_process_has_a_host_name_and_a_cpu() {
        let environment = Environment::of_process();
        assert!(!environment.hostname().is_empty() && environment.cpus() >= 1);
    }
}
