//! A network between a daemon and its Postgres that fails when a test says so.
//!
//! A server that is stopped refuses at once; what hurts is a network that says nothing. The proxy
//! carries bytes between a port of its own and the server's socket or address, and has seven
//! verbs: [`lead_to`](Proxy::lead_to), [`blackhole`](Proxy::blackhole), [`heal`](Proxy::heal), [`reset`](Proxy::reset),
//! [`strand`](Proxy::strand), [`mute`](Proxy::mute) and [`swallow`](Proxy::swallow). What was under way when the black hole
//! opened arrives after it has healed, ends of connections too, as it does where a network repeats
//! its packets; what a stranded connection sends is gone. It looks into bytes to swallow one statement
//! where it is told to, and to count how often a client asks and waits for the answer ([`wire`]).
//!
//! [`wire`]: super::wire

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::wire::Requests;

/// The proxy. Dropping it ends every connection through it.
pub(crate) struct Proxy {
    url: String,
    target: Arc<Mutex<Target>>,
    state: watch::Sender<State>,
    stranded: Arc<AtomicUsize>,
    round_trips: Arc<AtomicUsize>,
    statements: Arc<Mutex<BTreeMap<String, usize>>>,
    accepting: JoinHandle<()>,
}

/// What the network does now.
#[derive(Clone, Copy, Default)]
struct State {
    blackholed: bool,
    /// Connections that are older than the last reset are gone.
    resets: u32,
    /// Connections that are older than this are silent for ever.
    strands: u32,
    /// Answers on connections that are older than this are gone.
    mutes: u32,
    /// What the next statement to be swallowed has in it.
    swallow: Option<&'static str>,
}

/// A connection that nothing arrives on, until its client has closed it.
struct Stranded(Arc<AtomicUsize>);

impl Stranded {
    fn counted_in(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Stranded {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
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
        let (stranded, round_trips, statements) =
            (Arc::default(), Arc::default(), Arc::<Mutex<BTreeMap<_, _>>>::default());
        let network = Network {
            state: state.clone(),
            stranded: Arc::clone(&stranded),
            round_trips: Arc::clone(&round_trips),
            statements: Arc::clone(&statements),
        };
        let target = Arc::new(Mutex::new(target(url)));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&target), network));
        Self { url: through(url, at), target, state, stranded, round_trips, statements, accepting }
    }

    /// The address of the same database, through the proxy.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on new connections lead to the server of this address.
    pub(crate) fn lead_to(&self, url: &str) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target(url);
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

    /// On every connection that is open now nothing arrives any more, in either direction, and nobody
    /// is told; new ones are carried. A firewall that has forgotten its connections does this.
    pub(crate) fn strand(&self) {
        self.state.send_modify(|state| state.strands += 1);
    }

    /// On every connection that is open now the server's answers are lost, and nobody is told.
    pub(crate) fn mute(&self) {
        self.state.send_modify(|state| state.mutes += 1);
    }

    /// The next statement with this in it doesn't arrive, and its connection is stranded.
    pub(crate) fn swallow(&self, text: &'static str) {
        self.state.send_modify(|state| state.swallow = Some(text));
    }

    /// Whether the statement to be swallowed was met.
    pub(crate) fn has_swallowed(&self) -> bool {
        self.state.borrow().swallow.is_none()
    }

    /// How often clients have asked something and waited for the answer, on all connections together.
    pub(crate) fn round_trips(&self) -> usize {
        self.round_trips.load(Ordering::Acquire)
    }

    /// How many statements were run on all sessions of this name together.
    pub(crate) fn statements_of(&self, session: &str) -> usize {
        let statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        statements.get(session).copied().unwrap_or_default()
    }

    /// How many stranded connections their clients haven't closed.
    pub(crate) fn stranded(&self) -> usize {
        self.stranded.load(Ordering::Acquire)
    }
}

/// What every connection goes by.
#[derive(Clone)]
struct Network {
    state: watch::Sender<State>,
    stranded: Arc<AtomicUsize>,
    round_trips: Arc<AtomicUsize>,
    statements: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Network {
    /// Counts what a client sends.
    fn count(&self, requests: &mut Requests, bytes: &[u8]) {
        self.round_trips.fetch_add(requests.take(bytes), Ordering::AcqRel);
        let run = requests.statements();
        if run > 0 {
            let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
            *statements.entry(requests.session()).or_default() += run;
        }
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
async fn accept(listener: TcpListener, target: Arc<Mutex<Target>>, network: Network) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let target = target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        connections.spawn(carry(client, target, network.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection until an end of it closes, it is reset or stranded.
async fn carry(mut client: TcpStream, target: Target, network: Network) {
    let mut changes = network.state.subscribe();
    let State { resets, strands, .. } = *changes.borrow_and_update();
    let ended = changes.wait_for(|state| state.resets != resets || state.strands != strands);
    let was_ended = tokio::select! {
        ended = ended => ended.map(|state| *state).ok(),
        swallowed = between(&mut client, target, &network) => swallowed.then(State::default),
    };
    match was_ended {
        // A connection that ended meanwhile can't be reset, and needn't.
        Some(state) if state.resets > resets => drop(client.set_zero_linger()),
        Some(_) => {
            let _stranded = Stranded::counted_in(&network.stranded);
            // Whatever the client still sends, until it closes or resets the connection.
            tokio::io::copy(&mut client, &mut tokio::io::sink()).await.ok();
        }
        None => {}
    }
}

/// Carries both directions; `true` when a statement was swallowed. A server that refuses ends the
/// client's connection.
async fn between(client: &mut TcpStream, target: Target, network: &Network) -> bool {
    let mut state = network.state.subscribe();
    if state.wait_for(|state| !state.blackholed).await.is_err() {
        return false;
    }
    let Ok(server) = target.connect().await else { return false };
    let (from_server, to_server) = tokio::io::split(server);
    let (from_client, to_client) = client.split();
    let answers = pump(from_server, to_client, network, false);
    let asked = pump(from_client, to_server, network, true);
    let (mut asked, mut answers) = (std::pin::pin!(asked), std::pin::pin!(answers));
    tokio::select! {
        swallowed = &mut asked => if swallowed { true } else { answers.await },
        _ = &mut answers => asked.await,
    }
}

/// Carries one direction; `true` when it has met what was to be swallowed.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    network: &Network,
    asks: bool,
) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    let mut state = network.state.subscribe();
    let mutes = state.borrow().mutes;
    let mut requests = Requests::default();
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if state.wait_for(|state| !state.blackholed).await.is_err() {
            return false;
        }
        if !asks && read > 0 && state.borrow().mutes != mutes {
            continue;
        }
        if asks && swallows(network, &buffer[..read]) {
            return true;
        }
        if asks {
            network.count(&mut requests, &buffer[..read]);
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            // The other side may be gone already.
            to.shutdown().await.ok();
            return false;
        }
    }
}

/// Whether this is the statement to be swallowed; it is so once.
fn swallows(network: &Network, bytes: &[u8]) -> bool {
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    network.state.send_if_modified(|state| {
        let found = state.swallow.is_some_and(holds);
        if found {
            state.swallow = None;
        }
        found
    })
}
