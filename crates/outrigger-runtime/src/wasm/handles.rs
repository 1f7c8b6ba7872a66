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
/// The memory of a header besides its name and value, and of each place for one.
const HEADER: usize = 150;
const PLACE: usize = 112;
/// The size of a request that was sent.
const SENT: usize = HEADERS_AT_MOST + TEXTS_AT_MOST + 2 * BUFFER;

/// The number of handles, and an estimate of their memory. The contents of header sets, texts and buffers count with
/// their maximum size, so that it does not matter how a handle is filled after it was counted.
pub(super) fn measure(table: &mut ResourceTable) -> (usize, usize) {
    table.iter_mut().fold((0, 0), |(count, bytes), entry| (count + 1, bytes + HANDLE + held(entry)))
}

/// The number of TCP sockets.
pub(super) fn sockets(table: &mut ResourceTable) -> usize {
    table.iter_mut().filter(|entry| entry.is::<TcpSocket>()).count()
}

/// A header set. Many short headers take several times their own size.
fn headers(set: &FieldMap) -> usize {
    HEADERS_AT_MOST + set.capacity() * PLACE + set.len() * HEADER
}

fn held(entry: &dyn Any) -> usize {
    if let Some(set) = entry.downcast_ref::<FieldMap>() {
        return headers(set);
    }
    if entry.is::<HostFutureTrailers>() {
        return HEADERS_AT_MOST;
    }
    if let Some(response) = entry.downcast_ref::<HostIncomingResponse>() {
        return headers(&response.headers) + BUFFER;
    }
    if let Some(request) = entry.downcast_ref::<HostOutgoingRequest>() {
        let body = request.body.as_ref().map_or(0, |_| 2 * BUFFER);
        return headers(&request.headers) + TEXTS_AT_MOST + body;
    }
    if let Some(response) = entry.downcast_ref::<HostOutgoingResponse>() {
        let body = response.body.as_ref().map_or(0, |_| 2 * BUFFER);
        return headers(&response.headers) + body;
    }
    if entry.is::<HostFutureIncomingResponse>() {
        return SENT;
    }
    let is_stream = entry.is::<DynInputStream>() || entry.is::<DynOutputStream>();
    if is_stream || entry.is::<HostIncomingBody>() || entry.is::<HostOutgoingBody>() { BUFFER } else { 0 }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn s02_short_headers_count_with_their_places() {
        let few = {
            let mut table = ResourceTable::new();
            table.push(FieldMap::new_mutable(HEADERS_AT_MOST)).expect("there is room");
            measure(&mut table).1
        };
        let mut set = FieldMap::new_mutable(HEADERS_AT_MOST);
        let full = (0..).find(|index| {
            let name = HeaderName::try_from(format!("{index}")).expect("a name");
            set.append_raw(name, HeaderValue::from_static("x")).is_err()
        });
        assert!(full.is_some_and(|count| count > 500), "{full:?}");
        let mut table = ResourceTable::new();
        table.push(set).expect("there is room");
        // 104 bytes for each place of the table, which doubles, and two allocations for each header.
        let (_, many) = measure(&mut table);
        assert!(few < HEADERS_AT_MOST + 2 * HANDLE && many > 3 * HEADERS_AT_MOST, "{few} {many}");
    }
}
