//! Hosts: what an authority names, and whether a pattern means it.

use core::net::{Ipv4Addr, Ipv6Addr};

/// Longest host that is looked up, in bytes: DNS allows 253; a longer one belongs to nobody.
const MAX_HOST: usize = 255;

/// An authority's host in lower case, without port and without the root's dot. On the stack: 256 bytes.
pub(super) struct Host {
    bytes: [u8; MAX_HOST],
    len: usize,
}

impl Host {
    /// `None` if the host is empty or too long.
    pub(super) fn of(authority: &[u8]) -> Option<Self> {
        Self::lower(without_port(authority))
    }

    /// The whole authority in lower case, port and all.
    pub(super) fn with_port(authority: &[u8]) -> Option<Self> {
        Self::lower(authority)
    }

    #[inline]
    fn lower(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        if text.is_empty() {
            return None;
        }
        let mut bytes = [0; MAX_HOST];
        let room = bytes.get_mut(..text.len())?;
        room.copy_from_slice(text);
        room.make_ascii_lowercase();
        Some(Self { bytes, len: text.len() })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Whether this is an address rather than a name.
    pub(super) fn is_ip(&self) -> bool {
        let Ok(text) = core::str::from_utf8(self.as_bytes()) else { return false };
        match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None => text.parse::<Ipv4Addr>().is_ok(),
        }
    }
}

/// An authority without its port; the brackets of an IPv6 literal stay.
fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|b| *b == b':') {
        Some(colon) => {
            let (host, port) = authority.split_at(colon);
            let is_port = port.iter().skip(1).all(u8::is_ascii_digit);
            if is_port { host } else { authority }
        }
        None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(authority: &str) -> String {
        Host::of(authority.as_bytes())
            .map_or_else(String::new, |host| String::from_utf8(host.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn ok_ports_and_case_do_not_matter() {
        assert_eq!(host("API.OpenAI.com:443"), "api.openai.com");
        assert_eq!(host("api.openai.com."), "api.openai.com");
        assert_eq!(host("api.openai.com.:443"), "api.openai.com");
        assert_eq!(host("api.openai.com:"), "api.openai.com");
        assert_eq!(host("[::1]:8080"), "[::1]");
        assert_eq!(host("[::1]"), "[::1]");
    }

    #[test]
    fn ok_addresses_are_told_from_names() {
        for ip in ["127.0.0.1:80", "10.1.2.3", "[::1]", "[fd00::1]:8080"] {
            assert!(Host::of(ip.as_bytes()).unwrap().is_ip(), "{ip}");
        }
        for name in ["localhost", "1.2.3.4.example.com", "127.1", "[::1", "[x]"] {
            assert!(!Host::of(name.as_bytes()).unwrap().is_ip(), "{name}");
        }
    }

    #[test]
    fn err_hosts_that_are_none() {
        assert!(Host::of(b"").is_none());
        assert!(Host::of(b":80").is_none());
        assert!(Host::of(&[b'a'; 4096]).is_none());
    }
}
