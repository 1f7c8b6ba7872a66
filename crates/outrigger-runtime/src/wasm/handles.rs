//! The host's memory for the handles of an instance: headers, requests, streams, sockets. A guest can create up to a
//! thousand, and some contain its own text.

use std::any::Any;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, TcpSocket};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::body::{HostFutureTrailers, HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest, HostOutgoingResponse,
};

use super::http::TEXTS_AT_MOST;

/// The maximum size of a header set that a plugin creates or receives, in bytes.
pub(super) const HEADERS_AT_MOST: usize = 64 << 10;

/// The size of a handle.
const HANDLE: usize = 512;
/// The buffer of a stream.
pub(super) const BUFFER: usize = 64 << 10;
/// The size of a request that was sent.
const SENT: usize = HEADERS_AT_MOST + TEXTS_AT_MOST + 2 * BUFFER;

/// The number of handles, and an estimate of their memory. Header sets, texts and buffers count with their maximum
/// size, so that it does not matter how a handle is filled after it was counted.
pub(super) fn measure(table: &mut ResourceTable) -> (usize, usize) {
    table.iter_mut().fold((0, 0), |(count, bytes), entry| (count + 1, bytes + HANDLE + held(entry)))
}

/// The number of TCP sockets.
pub(super) fn sockets(table: &mut ResourceTable) -> usize {
    table.iter_mut().filter(|entry| entry.is::<TcpSocket>()).count()
}

fn held(entry: &dyn Any) -> usize {
    if entry.is::<FieldMap>() || entry.is::<HostFutureTrailers>() {
        return HEADERS_AT_MOST;
    }
    if entry.is::<HostIncomingResponse>() {
        return HEADERS_AT_MOST + BUFFER;
    }
    if let Some(request) = entry.downcast_ref::<HostOutgoingRequest>() {
        let body = request.body.as_ref().map_or(0, |_| 2 * BUFFER);
        return HEADERS_AT_MOST + TEXTS_AT_MOST + body;
    }
    if let Some(response) = entry.downcast_ref::<HostOutgoingResponse>() {
        let body = response.body.as_ref().map_or(0, |_| 2 * BUFFER);
        return HEADERS_AT_MOST + body;
    }
    if entry.is::<HostFutureIncomingResponse>() {
        return SENT;
    }
    let is_stream = entry.is::<DynInputStream>() || entry.is::<DynOutputStream>();
    if is_stream || entry.is::<HostIncomingBody>() || entry.is::<HostOutgoingBody>() { BUFFER } else { 0 }
}
