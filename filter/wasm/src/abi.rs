//! The proxy-wasm 0.2.1 hostcalls that meterr uses, as thin wrappers that return the host's status.
//!
//! Not the SDK's conveniences: they panic on a header touched in the wrong phase, and one panic cuts every stream of a worker.
//! Nothing here decides anything, and nothing here can panic.

#![expect(unsafe_code, reason = "hostcalls are foreign functions over linear memory")]

use core::ptr;

/// A status other than Ok, as the host numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

/// The key or value does not exist.
pub(crate) const NOT_FOUND: Status = Status(1);
/// Somebody else changed the value first.
pub(crate) const CAS_MISMATCH: Status = Status(8);

/// Header maps by the host's number.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Map {
    /// Of the request.
    Request = 0,
    /// Of the response.
    Response = 2,
    /// Of a callout's reply.
    Callout = 6,
}

/// Buffers by the host's number.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Buffer {
    /// Body of the request.
    Request = 0,
    /// Body of the response.
    Response = 1,
    /// Body of a callout's answer.
    Callout = 4,
    /// The plugin's configuration.
    Configuration = 7,
}

/// Directions of a stream, for resuming it.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Direction {
    /// Towards the upstream.
    Request = 0,
}

mod host {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_log(level: u32, message: *const u8, len: usize) -> u32;
        pub(super) fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub(super) fn proxy_set_tick_period_milliseconds(millis: u32) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            kind: u32,
            start: usize,
            max: usize,
            data: *mut *mut u8,
            len: *mut usize,
        ) -> u32;
        pub(super) fn proxy_set_buffer_bytes(kind: u32, start: usize, size: usize, data: *const u8, len: usize) -> u32;
        pub(super) fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, len: *mut usize) -> u32;
        pub(super) fn proxy_get_header_map_value(
            map: u32,
            key: *const u8,
            key_len: usize,
            data: *mut *mut u8,
            len: *mut usize,
        ) -> u32;
        pub(super) fn proxy_replace_header_map_value(
            map: u32,
            key: *const u8,
            key_len: usize,
            value: *const u8,
            len: usize,
        ) -> u32;
        pub(super) fn proxy_remove_header_map_value(map: u32, key: *const u8, key_len: usize) -> u32;
        pub(super) fn proxy_get_property(path: *const u8, path_len: usize, data: *mut *mut u8, len: *mut usize) -> u32;
        pub(super) fn proxy_set_property(path: *const u8, path_len: usize, value: *const u8, len: usize) -> u32;
        pub(super) fn proxy_get_shared_data(
            key: *const u8,
            key_len: usize,
            data: *mut *mut u8,
            len: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_shared_data(
            key: *const u8,
            key_len: usize,
            value: *const u8,
            len: usize,
            cas: u32,
        ) -> u32;
        pub(super) fn proxy_continue_stream(direction: u32) -> u32;
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_len: usize,
            body: *const u8,
            body_len: usize,
            headers: *const u8,
            headers_len: usize,
            grpc_status: i32,
        ) -> u32;
        pub(super) fn proxy_http_call(
            cluster: *const u8,
            cluster_len: usize,
            headers: *const u8,
            headers_len: usize,
            body: *const u8,
            body_len: usize,
            trailers: *const u8,
            trailers_len: usize,
            timeout_ms: u32,
            token: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_effective_context(id: u32) -> u32;
        pub(super) fn proxy_call_foreign_function(
            name: *const u8,
            name_len: usize,
            argument: *const u8,
            len: usize,
            result: *mut *mut u8,
            result_len: *mut usize,
        ) -> u32;
        pub(super) fn proxy_define_metric(kind: u32, name: *const u8, len: usize, id: *mut u32) -> u32;
        pub(super) fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub(super) fn proxy_record_metric(id: u32, value: u64) -> u32;
    }
}

const fn checked(status: u32) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(Status(status)) }
}

/// Runs a hostcall that returns bytes, and takes them over.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Status> {
    let (mut data, mut len) = (ptr::null_mut::<u8>(), 0usize);
    checked(call(&raw mut data, &raw mut len))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host filled `len` bytes that it got from `proxy_on_memory_allocate(len)` below, which allocates exactly so.
    Ok(unsafe { Vec::from_raw_parts(data, len, len) })
}

// SAFETY: a VM of Envoy has one thread.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: meterr_pool::Pool<std::alloc::System> = unsafe { meterr_pool::Pool::new(std::alloc::System) };

/// The host's way to hand over bytes: it calls this, fills the memory and gives it away.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let Ok(layout) = core::alloc::Layout::array::<u8>(size) else { return ptr::null_mut() };
    if size == 0 {
        return ptr::null_mut();
    }
    // SAFETY: the layout is not empty. A null pointer is the host's own error case.
    unsafe { std::alloc::alloc(layout) }
}

/// Writes to Envoy's log; levels are trace 0, debug 1, info 2, warn 3, error 4.
pub(crate) fn log(level: u32, message: &str) {
    // SAFETY: a borrowed buffer that the host only reads. A log record that the host refuses has nowhere else to go.
    let _nowhere_else = unsafe { host::proxy_log(level, message.as_ptr(), message.len()) };
}

/// Nanoseconds since the epoch; 0 if the host has no clock.
pub(crate) fn now() -> u64 {
    let mut time = 0;
    // SAFETY: the host writes one u64.
    let status = unsafe { host::proxy_get_current_time_nanoseconds(&raw mut time) };
    if status == 0 { time } else { 0 }
}

pub(crate) fn set_tick(millis: u32) -> Result<(), Status> {
    // SAFETY: no memory is passed.
    checked(unsafe { host::proxy_set_tick_period_milliseconds(millis) })
}

#[inline]
pub(crate) fn buffer(kind: Buffer, start: usize, max: usize) -> Result<Vec<u8>, Status> {
    // SAFETY: the host writes one pointer and one length.
    bytes(|data, len| unsafe { host::proxy_get_buffer_bytes(kind as u32, start, max, data, len) })
}

/// Replaces the whole buffer: Envoy knows no replacement in the middle.
pub(crate) fn replace_buffer(kind: Buffer, with: &[u8]) -> Result<(), Status> {
    // SAFETY: a borrowed buffer that the host only reads.
    checked(unsafe { host::proxy_set_buffer_bytes(kind as u32, 0, usize::MAX >> 1, with.as_ptr(), with.len()) })
}

/// A whole header map in the host's form; see [`pairs`].
pub(crate) fn headers(map: Map) -> Result<Vec<u8>, Status> {
    // SAFETY: the host writes one pointer and one length.
    bytes(|data, len| unsafe { host::proxy_get_header_map_pairs(map as u32, data, len) })
}

pub(crate) fn header(map: Map, name: &str) -> Option<Vec<u8>> {
    // SAFETY: a borrowed key; the host writes one pointer and one length.
    bytes(|data, len| unsafe { host::proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, len) })
        .ok()
}

pub(crate) fn set_header(map: Map, name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: borrowed buffers that the host only reads.
    checked(unsafe {
        host::proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

pub(crate) fn remove_header(map: Map, name: &str) -> Result<(), Status> {
    // SAFETY: a borrowed buffer that the host only reads.
    checked(unsafe { host::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// A property; path segments are separated by zero bytes.
pub(crate) fn property(path: &str) -> Result<Vec<u8>, Status> {
    // SAFETY: a borrowed path; the host writes one pointer and one length.
    bytes(|data, len| unsafe { host::proxy_get_property(path.as_ptr(), path.len(), data, len) })
}

pub(crate) fn set_property(path: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: borrowed buffers that the host only reads.
    checked(unsafe { host::proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

pub(crate) fn shared(key: &[u8]) -> Result<(Vec<u8>, u32), Status> {
    let mut cas = 0;
    // SAFETY: a borrowed key; the host writes one pointer, one length and one version.
    let value =
        bytes(|data, len| unsafe { host::proxy_get_shared_data(key.as_ptr(), key.len(), data, len, &raw mut cas) })?;
    Ok((value, cas))
}

pub(crate) fn set_shared(key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
    // SAFETY: borrowed buffers that the host only reads.
    checked(unsafe { host::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
}

pub(crate) fn resume(direction: Direction) -> Result<(), Status> {
    // SAFETY: no memory is passed.
    checked(unsafe { host::proxy_continue_stream(direction as u32) })
}

pub(crate) fn reply(status: u32, details: &str, body: &[u8], headers: &[(String, String)]) -> Result<(), Status> {
    let headers = encode(headers);
    // SAFETY: borrowed buffers that the host only reads. -1 means "no gRPC status".
    checked(unsafe {
        host::proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    })
}

/// Starts a callout; the host's token comes back with its answer.
pub(crate) fn call(cluster: &str, headers: &[(String, String)], body: &[u8], timeout_ms: u32) -> Result<u32, Status> {
    let (headers, trailers, mut token) = (encode(headers), encode(&[]), 0);
    // SAFETY: borrowed buffers that the host only reads; it writes one token.
    checked(unsafe {
        host::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout_ms,
            &raw mut token,
        )
    })?;
    Ok(token)
}

pub(crate) fn set_effective_context(id: u32) -> Result<(), Status> {
    // SAFETY: no memory is passed.
    checked(unsafe { host::proxy_set_effective_context(id) })
}

pub(crate) fn foreign(name: &str, argument: &[u8]) -> Result<Vec<u8>, Status> {
    // SAFETY: borrowed buffers that the host only reads; it writes one pointer and one length.
    bytes(|data, len| unsafe {
        host::proxy_call_foreign_function(name.as_ptr(), name.len(), argument.as_ptr(), argument.len(), data, len)
    })
}

/// Kinds are counter 0, gauge 1, histogram 2.
pub(crate) fn define_metric(kind: u32, name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: a borrowed name; the host writes one id.
    checked(unsafe { host::proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

pub(crate) fn increment_metric(id: u32, by: i64) -> Result<(), Status> {
    // SAFETY: no memory is passed.
    checked(unsafe { host::proxy_increment_metric(id, by) })
}

pub(crate) fn record_metric(id: u32, value: u64) -> Result<(), Status> {
    // SAFETY: no memory is passed.
    checked(unsafe { host::proxy_record_metric(id, value) })
}

/// The pairs of a header map as the host serialises it: a count, the lengths of each name and value (all u32, little endian),
/// then names and values, each followed by a zero byte. What does not fit is left out.
pub(crate) fn pairs(map: &[u8]) -> Vec<(&[u8], &[u8])> {
    let number = |at: usize| {
        let bytes: [u8; 4] = map.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let count = number(0).unwrap_or(0).min(map.len() / 8);
    let mut at = count.saturating_mul(8).saturating_add(4);
    let mut take = |len: usize| {
        let bytes = map.get(at..at.checked_add(len)?)?;
        at = at.checked_add(len)?.checked_add(1)?;
        Some(bytes)
    };
    let mut out = Vec::with_capacity(count);
    for i in 0..count {
        let pair = number(4 + 8 * i).zip(number(8 + 8 * i)).and_then(|(name, value)| take(name).zip(take(value)));
        let Some(pair) = pair else { break };
        out.push(pair);
    }
    out
}

fn encode(headers: &[(String, String)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = number(headers.len()).to_vec();
    for (name, value) in headers {
        out.extend_from_slice(&number(name.len()));
        out.extend_from_slice(&number(value.len()));
    }
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(value.as_bytes());
        out.push(0);
    }
    out
}
