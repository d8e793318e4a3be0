//! An HTTP/2 frontend over TLS in front of a registry. It doesn't process every request the first time, like servers
//! and gateways that limit connections or requests.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::{Bytes, BytesMut};
use h2::Reason;
use h2::server::{Connection, SendResponse};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Certificate;
use super::client;
use super::registry::Registry;

/// Which requests it doesn't process.
#[derive(Debug, Clone, Copy)]
pub enum Refusals {
    /// Every request the first time it is sent.
    FirstAttempts,
    /// Requests beyond this number on one connection.
    After(usize),
}

/// The frontend. To clients, its address is a registry's host.
pub struct Frontend {
    pub host: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    refusals: Refusals,
    seen: Mutex<HashSet<String>>,
    refused: AtomicUsize,
    connections: AtomicUsize,
}

impl Frontend {
    pub fn before(registry: &Registry, certificate: &Certificate, refusals: Refusals) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: registry.host.clone(),
            refusals,
            seen: Mutex::default(),
            refused: 0.into(),
            connections: 0.into(),
        });
        let acceptor = acceptor(certificate);
        let frontend = Self { host, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(serve(client, acceptor.clone(), Arc::clone(&shared)));
                }
            });
        });
        frontend
    }

    pub fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    /// The number of requests it didn't process.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// The number of connections it accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let chain = vec![certificate.der.clone().into()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(client: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    // Plain-text requests and clients that don't offer HTTP/2 fail here.
    let Ok(stream) = acceptor.accept(client).await else { return };
    let Ok(mut connection): Result<Connection<TlsStream<TcpStream>, Bytes>, _> = h2::server::handshake(stream).await
    else {
        return;
    };
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let mut taken = 0;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        taken += 1;
        let name = format!("{} {}", request.method(), request.uri());
        if matches!(shared.refusals, Refusals::FirstAttempts) && shared.seen.lock().unwrap().insert(name) {
            shared.refused.fetch_add(1, Ordering::SeqCst);
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        if matches!(shared.refusals, Refusals::After(most) if taken == most) {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(request, respond, shared.upstream.clone()));
    }
}

/// Forwards one request, and the response back.
async fn answer(request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, upstream: String) {
    let (head, mut incoming) = request.into_parts();
    let mut body = BytesMut::new();
    while let Some(Ok(piece)) = incoming.data().await {
        let _ = incoming.flow_control().release_capacity(piece.len());
        body.extend_from_slice(&piece);
    }
    let url = format!("http://{upstream}{}", head.uri.path_and_query().unwrap());
    let passed = tokio::task::spawn_blocking(move || {
        let headers: Vec<(&str, &str)> = ["accept", "content-type"]
            .into_iter()
            .filter_map(|name| head.headers.get(name).map(|value| (name, value.to_str().unwrap())))
            .collect();
        client::request(head.method.as_str(), &url, &headers, &body)
    });
    let passed = passed.await.unwrap();
    let mut response = http::Response::builder().status(passed.status);
    for name in ["content-type", "docker-content-digest", "location"] {
        // A relative location comes back to this frontend.
        let value = passed.header(name).map(|value| value.replace(&format!("http://{upstream}"), ""));
        if let Some(value) = value {
            response = response.header(name, value);
        }
    }
    let mut sending = respond.send_response(response.body(()).unwrap(), false).unwrap();
    let _ = sending.send_data(Bytes::from(passed.body), true);
}
