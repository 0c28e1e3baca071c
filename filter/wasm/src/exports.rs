//! Callbacks as Envoy knows them (proxy-wasm ABI 0.2.1).

#![expect(unsafe_code, reason = "exported names")]

use core::cell::RefCell;

#[cfg(feature = "crash-for-tests")]
use crate::crash;
use crate::{
    abi,
    filter::{Filter, Part},
};

/// Let the stream go on.
const CONTINUE: u32 = 0;

thread_local! {
    static FILTER: RefCell<Filter> = RefCell::new(Filter::default());
}

/// Envoy never re-enters a VM but for memory; should it ever, the inner callback does nothing.
fn with<T>(otherwise: T, run: impl FnOnce(&mut Filter) -> T) -> T {
    FILTER.with(|filter| match filter.try_borrow_mut() {
        Ok(mut filter) => run(&mut filter),
        Err(_) => otherwise,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> u32 {
    // A panic says where, never what: its message could hold a part of a body.
    std::panic::set_hook(Box::new(|info| {
        if let Some(at) = info.location() {
            abi::log(4, &format!("meterr panicked at {}:{}", at.file(), at.line()));
        }
    }));
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, _size: usize) -> u32 {
    with(0, |filter| u32::from(filter.on_configure(root)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    with((), |filter| filter.on_context_create(context, parent));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    #[cfg(feature = "crash-for-tests")]
    crash::at_tick();
    with((), |filter| filter.on_tick(root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(root: u32, token: u32, headers: u32, body: usize, _trailers: u32) {
    #[cfg(feature = "crash-for-tests")]
    crash::at_callout();
    with((), |filter| filter.on_callout_response(root, token, headers, body));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _count: u32, end: u32) -> u32 {
    #[cfg(feature = "crash-for-tests")]
    crash::at("request_headers");
    with(CONTINUE, |filter| filter.on_headers(context, Part::Request, end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, size: usize, end: u32) -> u32 {
    #[cfg(feature = "crash-for-tests")]
    crash::at("request_body");
    with(CONTINUE, |filter| filter.on_body(context, Part::Request, size, end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _count: u32) -> u32 {
    with(CONTINUE, |filter| filter.on_trailers(context, Part::Request))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _count: u32, end: u32) -> u32 {
    #[cfg(feature = "crash-for-tests")]
    crash::at("response_headers");
    with(CONTINUE, |filter| filter.on_headers(context, Part::Response, end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, size: usize, end: u32) -> u32 {
    #[cfg(feature = "crash-for-tests")]
    crash::at("response_body");
    with(CONTINUE, |filter| filter.on_body(context, Part::Response, size, end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _count: u32) -> u32 {
    with(CONTINUE, |filter| filter.on_trailers(context, Part::Response))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: u32) {
    #[cfg(feature = "crash-for-tests")]
    crash::at("log");
    with((), |filter| filter.on_log(context));
    #[cfg(feature = "crash-for-tests")]
    crash::at("settled");
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    with(1, |filter| {
        filter.on_done(context);
        1
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    with((), |filter| filter.on_delete(context));
}
