//! A network between a daemon and its Postgres that fails when a test says so.
//!
//! A server that is stopped refuses at once; what hurts is a network that says nothing. The proxy
//! carries bytes between a port of its own and the server's socket or address, and has three
//! verbs: [`blackhole`](Proxy::blackhole), [`heal`](Proxy::heal) and [`reset`](Proxy::reset). What
//! was under way when the black hole opened arrives after it has healed, ends of connections too,
//! as it does where a network repeats its packets. It looks into no byte.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The proxy. Dropping it ends every connection through it.
pub(crate) struct Proxy {
    url: String,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

/// What the network does now.
#[derive(Clone, Copy, Default)]
struct State {
    blackholed: bool,
    /// Connections that are older than the last reset are gone.
    resets: u32,
}

/// Where the server is.
#[derive(Clone)]
enum Target {
    Socket(PathBuf),
    Address(String),
}

/// A connection to the server.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Proxy {
    /// A proxy before the server of this address, on any port.
    pub(crate) async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        Self::on(listener, url)
    }

    /// A proxy on a port that is open already.
    #[expect(clippy::disallowed_methods, reason = "a test has no supervisor; `drop` ends it")]
    pub(crate) fn on(listener: TcpListener, url: &str) -> Self {
        let at = listener.local_addr().expect("the port is open");
        let state = watch::Sender::new(State::default());
        let accepting = tokio::spawn(accept(listener, target(url), state.subscribe()));
        Self { url: through(url, at), state, accepting }
    }

    /// The address of the same database, through the proxy.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on nothing arrives, in either direction, and nobody is told.
    pub(crate) fn blackhole(&self) {
        self.state.send_modify(|state| state.blackholed = true);
    }

    /// From now on everything arrives again, and what was held back arrives late.
    pub(crate) fn heal(&self) {
        self.state.send_modify(|state| state.blackholed = false);
    }

    /// Resets every connection that is open now; new ones are carried.
    pub(crate) fn reset(&self) {
        self.state.send_modify(|state| state.resets += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The address of the same database at another place. It goes without TLS, which the loopback
/// address allows.
pub(crate) fn through(url: &str, at: SocketAddr) -> String {
    let options = PgConnectOptions::from_str(url).expect("the address can be read");
    if options.get_socket().is_some() {
        let database = options.get_database().unwrap_or_default();
        return format!("postgres://{}@{at}/{database}", options.get_username());
    }
    let (scheme, rest) = url.split_once("://").expect("the address has a scheme");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    format!("{scheme}://{user}@{at}{path}")
}

/// Where the server of an address is.
fn target(url: &str) -> Target {
    let options = PgConnectOptions::from_str(url).expect("the address can be read");
    let port = options.get_port();
    match options.get_socket() {
        Some(directory) => Target::Socket(directory.join(format!(".s.PGSQL.{port}"))),
        None => Target::Address(format!("{}:{port}", options.get_host())),
    }
}

impl Target {
    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Self::Address(address) => Box::new(TcpStream::connect(address).await?),
        })
    }
}

/// Takes connections for ever. They end with this task.
async fn accept(listener: TcpListener, target: Target, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry(client, target.clone(), state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection until an end of it closes or it is reset.
async fn carry(mut client: TcpStream, target: Target, state: watch::Receiver<State>) {
    let resets = state.borrow().resets;
    let mut changes = state.clone();
    let reset = changes.wait_for(|state| state.resets != resets);
    let was_reset = tokio::select! {
        _ = reset => true,
        () = between(&mut client, target, state) => false,
    };
    if was_reset {
        // A connection that ended meanwhile can't be reset, and needn't.
        client.set_zero_linger().ok();
    }
}

/// Carries both directions. A server that refuses ends the client's connection.
async fn between(client: &mut TcpStream, target: Target, mut state: watch::Receiver<State>) {
    if state.wait_for(|state| !state.blackholed).await.is_err() {
        return;
    }
    let Ok(server) = target.connect().await else { return };
    let (from_server, to_server) = tokio::io::split(server);
    let (from_client, to_client) = client.split();
    tokio::join!(
        pump(from_client, to_server, state.clone()),
        pump(from_server, to_client, state.clone()),
    );
}

/// Carries one direction.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if state.wait_for(|state| !state.blackholed).await.is_err() {
            return;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            // The other side may be gone already.
            to.shutdown().await.ok();
            return;
        }
    }
}
