//! Tells systemd how the daemon does: ready, stopping, still alive.
//!
//! `sd-notify` words the messages; its sender reads the environment by itself, which only `config`
//! may, so the datagram is sent here to the socket that was handed in. Without a socket every
//! notice is a no-op. A service manager that doesn't listen costs at most a tenth of a second.

use sd_notify::NotifyState;
use std::{
    ffi::OsString,
    fmt::Display,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// How long a full queue of the service manager may hold a notice up.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// Why the service manager's socket can't be used.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// Not a path and not an abstract name.
    #[error("NOTIFY_SOCKET {0:?} is neither an absolute path nor an abstract name")]
    ReadAddress(OsString),
    /// The system refused.
    #[error("the socket of the service manager can't be opened")]
    OpenSocket(#[source] io::Error),
}

/// The line to the service manager.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// From what `config` read: `$NOTIFY_SOCKET` and `$WATCHDOG_USEC`.
    pub fn from(
        socket: Option<OsString>,
        watchdog: Option<Duration>,
    ) -> Result<Self, NotifierError> {
        let socket = socket.map(connect).transpose()?;
        Ok(Self { watchdog: socket.as_ref().and(watchdog), socket })
    }

    /// How often to call [`Notifier::watchdog`]: half of what systemd waits.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// The daemon waits for something that its start needs, and says so again within this time: no outage
    /// is a reason to kill it at `TimeoutStartSec`.
    pub fn starting(&self, within: Duration) {
        self.send(extension(within));
    }

    /// The daemon is up.
    pub fn ready(&self) {
        self.send(NotifyState::Ready);
    }

    /// The daemon reads its configuration again; [`Notifier::ready`] ends that. Both words have to be in
    /// one datagram, or systemd takes the notice for an older one.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(format!("{}\n{now}", NotifyState::Reloading)),
            // Without its clock there is no notice that systemd would believe.
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, "the monotonic clock can't be read");
            }
        }
    }

    /// The daemon stops, and is gone after this time: a unit whose `TimeoutStopSec` is shorter isn't
    /// to kill it before.
    pub fn stopping(&self, within: Duration) {
        self.send(format!("{}\n{}", NotifyState::Stopping, extension(within)));
    }

    /// The daemon is alive. Call it only while it is: from the loop that liveness looks at.
    pub fn watchdog(&self) {
        self.send(NotifyState::Watchdog);
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        // A line break would start a message of its own.
        let line = text.replace(|c: char| c.is_control(), " ");
        self.send(NotifyState::Status(&line));
    }

    /// A notice that doesn't arrive changes nothing here: systemd acts on its absence.
    fn send(&self, notice: impl Display) {
        if let Some(socket) = &self.socket {
            drop(socket.send(format!("{notice}\n").as_bytes()));
        }
    }
}

/// `sd-notify`'s word for it ends at 71 minutes, and a grace at a day.
fn extension(within: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", within.as_micros())
}

fn connect(address: OsString) -> Result<UnixDatagram, NotifierError> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(&address),
        _ => return Err(NotifierError::ReadAddress(address)),
    };
    let open = |address| {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(socket)
    };
    address.and_then(open).map_err(NotifierError::OpenSocket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(server: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = server.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn systemd_hears_every_notice_on_a_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let server = UnixDatagram::bind(&path).unwrap();
        let watchdog = Some(Duration::from_secs(30));
        let notifier = Notifier::from(Some(path.into()), watchdog).unwrap();
        assert_eq!(notifier.watchdog_interval(), Some(Duration::from_secs(15)));
        notifier.ready();
        notifier.watchdog();
        notifier.status("running 3\nREADY=1");
        notifier.stopping(Duration::from_hours(2));
        let heard = [(); 4].map(|()| received(&server));
        assert_eq!(
            heard,
            [
                "READY=1\n",
                "WATCHDOG=1\n",
                "STATUS=running 3 READY=1\n",
                "STOPPING=1\nEXTEND_TIMEOUT_USEC=7200000000\n"
            ]
        );
    }

    #[test]
    fn a_reload_tells_its_instant_in_the_same_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let server = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::from(Some(path.into()), None).unwrap();
        notifier.reloading();
        let heard = received(&server);
        let instant = heard.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&heard);
        assert!(instant.trim_end().parse::<u64>().expect("a number") > 0, "{heard}");
    }

    #[test]
    fn systemd_hears_a_notice_on_an_abstract_name() {
        let name = format!("legwork-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let server = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::from(Some(format!("@{name}").into()), None).unwrap().ready();
        assert_eq!(received(&server), "READY=1\n");
    }

    #[test]
    fn a_socket_that_is_no_address_is_refused_and_none_is_quiet() {
        let refused = Notifier::from(Some("relative".into()), None);
        assert!(matches!(refused, Err(NotifierError::ReadAddress(_))));
        let quiet = Notifier::from(None, Some(Duration::from_secs(30))).unwrap();
        quiet.ready();
        assert_eq!(quiet.watchdog_interval(), None);
    }
}
