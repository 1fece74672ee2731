//! Opens the admin port, before the daemon starts anything else.

use std::{
    io,
    net::{self, SocketAddr},
};
use tokio::net::TcpListener;

/// Why the admin port can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Somebody listens there already.
    #[error("admin.listen: {listen} is in use already; choose another address, or \"off\"")]
    InUse {
        /// The address.
        listen: SocketAddr,
    },
    /// A port that was opened already can't be used.
    #[error("the admin port that was handed over can't be used")]
    Adopt(#[source] io::Error),
    /// The system refused.
    #[error("admin.listen: can't listen on {listen}")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The open port, not yet served.
#[derive(Debug)]
pub struct Bound {
    pub(super) listener: TcpListener,
    listen: SocketAddr,
}

impl Bound {
    /// Where it listens; the real port where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listen
    }
}

/// Opens the port of `admin.listen`.
pub async fn bind(listen: SocketAddr) -> Result<Bound, AdminError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => AdminError::InUse { listen },
        _ => AdminError::Bind { listen, source },
    };
    let listener = TcpListener::bind(listen).await.map_err(refused)?;
    let listen = listener.local_addr().map_err(refused)?;
    Ok(Bound { listener, listen })
}

/// Takes over a port that is open already.
pub fn adopt(open: net::TcpListener) -> Result<Bound, AdminError> {
    let adopted = || {
        open.set_nonblocking(true)?;
        let listener = TcpListener::from_std(open)?;
        let listen = listener.local_addr()?;
        Ok(Bound { listener, listen })
    };
    adopted().map_err(AdminError::Adopt)
}
