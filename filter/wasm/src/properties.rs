//! [`Properties`] of the stream that the host has made current.

use meterr_core::host::{Properties, Property};

use crate::abi;

#[derive(Debug)]
pub(crate) struct StreamProperties;

impl Properties for StreamProperties {
    fn get(&self, property: Property<'_>) -> Option<Vec<u8>> {
        match property {
            Property::Metadata => abi::property("metadata"),
            Property::FilterState(key) => abi::property(&["filter_state\0", key].concat()),
            Property::PeerUriSan => abi::property("connection\0uri_san_peer_certificate"),
        }
        .ok()
    }
}
