//! The host's memory for the handles of an instance: headers, requests, streams, sockets. A guest can create up to a
//! thousand, and some contain its own text.

use std::any::Any;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{Method, Scheme};
use wasmtime_wasi_http::p2::body::{HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest};

/// The maximum size of a header set that a plugin creates or receives, in bytes.
pub(super) const HEADERS_AT_MOST: usize = 64 << 10;

/// The size of a handle.
const HANDLE: usize = 512;
/// The buffer of a stream.
pub(super) const BUFFER: usize = 64 << 10;
/// The size of a connection after a request was sent.
const CONNECTION: usize = HEADERS_AT_MOST + 2 * BUFFER;

/// The number of handles, and an estimate of their memory. Header sets and buffers count with their maximum size.
pub(super) fn measure(table: &mut ResourceTable) -> (usize, usize) {
    table.iter_mut().fold((0, 0), |(count, bytes), entry| (count + 1, bytes + HANDLE + held(entry)))
}

fn held(entry: &dyn Any) -> usize {
    if let Some(fields) = entry.downcast_ref::<FieldMap>() {
        return headers(fields);
    }
    if let Some(response) = entry.downcast_ref::<HostIncomingResponse>() {
        return headers(&response.headers) + BUFFER;
    }
    if let Some(request) = entry.downcast_ref::<HostOutgoingRequest>() {
        return texts(request);
    }
    if entry.is::<HostFutureIncomingResponse>() {
        return CONNECTION;
    }
    let is_stream = entry.is::<DynInputStream>() || entry.is::<DynOutputStream>();
    if is_stream || entry.is::<HostIncomingBody>() || entry.is::<HostOutgoingBody>() { BUFFER } else { 0 }
}

fn texts(request: &HostOutgoingRequest) -> usize {
    let HostOutgoingRequest { method, scheme, authority, path_with_query, headers: fields, body } = request;
    let method = if let Method::Other(text) = method { text.len() } else { 0 };
    let scheme = if let Some(Scheme::Other(text)) = scheme { text.len() } else { 0 };
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let body = body.as_ref().map_or(0, |_| 2 * BUFFER);
    method + scheme + text(authority) + text(path_with_query) + headers(fields) + body
}

fn headers(fields: &FieldMap) -> usize {
    if fields.is_empty() { 0 } else { HEADERS_AT_MOST }
}
