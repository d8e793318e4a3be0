//! Dispatches a request to its handler by route and method.

use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;

use super::answer::{Code, Refusal, Reply, answer};
use super::body::RequestBody;
use super::routes::{Query, Route, RouteError, parse};
use super::{Registry, blobs, listings, manifests, uploads};

/// Maximum length of path and query, in bytes.
const URI_LIMIT: usize = 16 * 1024;

/// Answers one request.
pub(super) async fn dispatch(registry: &Registry, request: Request<Incoming>) -> Reply {
    let (parts, incoming) = request.into_parts();
    let mut body = RequestBody::new(incoming, &parts.headers);
    let mut answer = handle(registry, &parts, &mut body).await.unwrap_or_else(Refusal::into_answer);
    if !body.drain().await {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn handle(registry: &Registry, parts: &Parts, body: &mut RequestBody) -> Result<Reply, Refusal> {
    let uri = &parts.uri;
    if uri.path().len() + uri.query().map_or(0, str::len) > URI_LIMIT {
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, Code::Unsupported, "the path is too long"));
    }
    let route = parse(uri.path()).map_err(|error| match error {
        RouteError::NoSuchPath => Refusal::not_found(Code::Unsupported, "the API has no such path"),
        RouteError::BadName => {
            Refusal::new(StatusCode::BAD_REQUEST, Code::NameInvalid, "this is not a repository's name")
        }
    })?;
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    if registry.read_only && !reads {
        return Err(Refusal::method("GET, HEAD", "this registry is read-only"));
    }
    let query = Query::parse(uri.query().unwrap_or_default());
    if reads {
        return read(registry, &route, &query, &parts.headers, parts.method == Method::HEAD).await;
    }
    write(registry, &route, &query, parts, body).await
}

/// `GET` and `HEAD`.
async fn read(
    registry: &Registry,
    route: &Route,
    query: &Query,
    headers: &HeaderMap,
    head: bool,
) -> Result<Reply, Refusal> {
    match route {
        Route::Ping => Ok(answer(StatusCode::OK, "{}".to_owned())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .finish()),
        Route::Blob { name, digest } => blobs::get(registry, name, digest, headers, head),
        Route::Manifest { name, reference } => manifests::get(registry, name, reference, head),
        Route::Tags { name } => listings::tags(registry, name, query),
        Route::Referrers { name, digest } => listings::referrers(registry, name, digest, query),
        Route::Upload { name, id } => uploads::status(registry, name, id).await,
        Route::Uploads { .. } => Err(Refusal::method("POST", "an upload begins with POST")),
    }
}

/// Every other method.
async fn write(
    registry: &Registry,
    route: &Route,
    query: &Query,
    parts: &Parts,
    body: &mut RequestBody,
) -> Result<Reply, Refusal> {
    let headers = &parts.headers;
    match (route, &parts.method) {
        (Route::Uploads { name }, &Method::POST) => uploads::post(registry, name, query, headers, body).await,
        (Route::Upload { name, id }, &Method::PATCH) => uploads::patch(registry, name, id, headers, body).await,
        (Route::Upload { name, id }, &Method::PUT) => uploads::put(registry, name, id, query, headers, body).await,
        (Route::Upload { name, id }, &Method::DELETE) => uploads::cancel(registry, name, id).await,
        (Route::Blob { name, digest }, &Method::DELETE) => blobs::delete(registry, name, digest),
        (Route::Manifest { name, reference }, &Method::PUT) => {
            manifests::put(registry, name, reference, query, headers, body).await
        }
        (Route::Manifest { name, reference }, &Method::DELETE) => manifests::delete(registry, name, reference),
        (route, _) => Err(Refusal::method(allowed(route), "the path does not have this method")),
    }
}

fn allowed(route: &Route) -> &'static str {
    match route {
        Route::Ping | Route::Tags { .. } | Route::Referrers { .. } => "GET, HEAD",
        Route::Blob { .. } => "GET, HEAD, DELETE",
        Route::Uploads { .. } => "POST",
        Route::Upload { .. } => "GET, PATCH, PUT, DELETE",
        Route::Manifest { .. } => "GET, HEAD, PUT, DELETE",
    }
}
