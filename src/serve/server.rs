//! Listens, and answers on each connection until it is told to stop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dispatch::dispatch;
use super::sessions::Sessions;
use super::storage::Storage;
use super::{DEFAULT_ADDRESS_FOR_COMMAND, Registry, ServeOptions, bind_error};
use crate::error::Result;

/// So many connections are served at once; more wait to be accepted.
const CONNECTIONS: usize = 1000;
/// A request's head may have so many bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// A connection's read buffer: what the last chunk of a blob in memory keeps alive at most.
const BUFFER: usize = 128 * 1024;
/// How long a connection may be silent between requests, or within a request's head.
const SILENCE: Duration = Duration::from_secs(120);
/// How long requests that are under way may go on after [`Server::stop`].
const GRACE: Duration = Duration::from_secs(2);
/// How often idle uploads are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// The pause after a connection could not be accepted, for want of file descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A registry that is being served. Dropping it stops it at once.
pub struct Server {
    address: SocketAddr,
    left_out: usize,
    stop: CancellationToken,
    connections: TaskTracker,
    accepting: JoinHandle<()>,
}

/// Opens the storage and serves it, on the runtime of the caller. The address is `127.0.0.1` and a free port if the
/// options name none.
///
/// # Errors
/// An address or a folder that can't be used.
pub async fn start(options: ServeOptions) -> Result<Server> {
    let (storage, left_out) = match &options.storage {
        None => (Storage::in_memory(), 0),
        Some(folder) => Storage::in_folder(folder, options.read_only)?,
    };
    let address = options.address.as_deref().unwrap_or(DEFAULT_ADDRESS_FOR_COMMAND);
    let listener = TcpListener::bind(address).await.map_err(|error| bind_error(address, &error))?;
    let bound = listener.local_addr().map_err(|error| bind_error(address, &error))?;
    let registry = Arc::new(Registry { storage, sessions: Sessions::default(), read_only: options.read_only });
    let stop = CancellationToken::new();
    let connections = TaskTracker::new();
    let accepting = tokio::spawn(accept(listener, registry, stop.clone(), connections.clone()));
    Ok(Server { address: bound, left_out, stop, connections, accepting })
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many entries of the folder were left out, since they are damaged.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Stops: no further request is taken, those under way may end within two seconds.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // It ends by itself; an error would mean that it has ended already.
        let _ = (&mut self.accepting).await;
        self.connections.close();
        let _ = tokio::time::timeout(GRACE, self.connections.wait()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, registry: Arc<Registry>, stop: CancellationToken, connections: TaskTracker) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = sweep.tick() => registry.sessions.expire(Instant::now()),
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let connection = serve(stream, registry.clone(), stop.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// Serves one connection. What goes wrong with it is its client's to notice.
async fn serve(stream: TcpStream, registry: Arc<Registry>, stop: CancellationToken) {
    // Answers are written whole, so that there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let registry = registry.clone();
        async move { Ok::<_, Infallible>(dispatch(&registry, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(SILENCE).max_header_size(HEAD_LIMIT).max_buf_size(BUFFER);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(GRACE, connection).await;
}
