//! Listens for connections and serves them until it is stopped.

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

/// Maximum number of concurrent connections; more wait to be accepted.
const CONNECTIONS: usize = 1000;
/// Maximum size of a request head, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// Read buffer of a connection, in bytes: the most that the last chunk of an in-memory blob keeps alive.
const BUFFER: usize = 128 * 1024;
/// How long a connection may be idle between requests, or within a request head.
const SILENCE: Duration = Duration::from_secs(120);
/// Grace period for requests in progress after [`Server::stop`].
const GRACE: Duration = Duration::from_secs(2);
/// How often to look for idle uploads.
const SWEEP: Duration = Duration::from_secs(60);
/// Pause after a failed accept, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running registry. Dropping it stops it at once.
pub struct Server {
    address: SocketAddr,
    left_out: usize,
    stop: CancellationToken,
    connections: TaskTracker,
    accepting: JoinHandle<()>,
}

/// Opens the storage and serves it on the caller's runtime. The default address is `127.0.0.1` with a free port.
///
/// # Errors
/// An address or a folder that can't be used.
pub async fn start(options: ServeOptions) -> Result<Server> {
    let (storage, left_out) = match &options.storage {
        None => (Storage::in_memory(), 0),
        Some(folder) => Storage::in_folder(folder, options.read_only)?,
    };
    let address = options.address.as_deref().unwrap_or(DEFAULT_ADDRESS_FOR_COMMAND);
    let listener = TcpListener::bind(address).await.map_err(|error| bind_error(address, error))?;
    let bound = listener.local_addr().map_err(|error| bind_error(address, error))?;
    let registry = Arc::new(Registry { storage, sessions: Sessions::default(), read_only: options.read_only });
    let stop = CancellationToken::new();
    let connections = TaskTracker::new();
    let accepting = tokio::spawn(accept(listener, registry, stop.clone(), connections.clone()));
    Ok(Server { address: bound, left_out, stop, connections, accepting })
}

impl Server {
    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many damaged entries of the folder were skipped.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Stops accepting requests; those in progress get two seconds to finish.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // It ends on its own; an error means that it has already ended.
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

/// Serves one connection. Its errors are for the client to notice.
async fn serve(stream: TcpStream, registry: Arc<Registry>, stop: CancellationToken) {
    // Responses are written in full, so there is nothing to coalesce.
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
