//! Which row a request belongs to.
//!
//! Three rules, in this order: the host form (the authority is a row's host: the path stays as it is), the prefix form (the authority
//! is ours: the first path segment names the row and is stripped), and what the configuration says of unknown hosts.

use std::{borrow::Cow, rc::Rc};

use hashbrown::HashMap;

use super::{Row, host::Host, table};
use crate::{
    config::{Config, Unknown},
    dialect::{Matched, detect, find},
    glob::matches,
};

/// The rows of one configuration, ready for lookups.
#[derive(Clone, Debug)]
pub struct Providers {
    /// The operator's rows, then the built-in ones that they do not replace.
    rows: Vec<Rc<Row>>,
    by_id: HashMap<Vec<u8>, Rc<Row>>,
    /// Hosts without `*`. Where two rows name the same host, the operator's wins.
    by_host: HashMap<Vec<u8>, Rc<Row>>,
    /// Hosts with `*`, in the order of the rows.
    patterns: Vec<(Vec<u8>, Rc<Row>)>,
    prefix_authorities: Vec<Vec<u8>>,
    unknown: Unknown,
}

/// Where a request goes, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'p> {
    /// To a row.
    Known {
        /// The row.
        row: Rc<Row>,
        /// The operation, if it is one that the row's dialects meter; everything else passes with only a metric.
        operation: Option<Matched>,
        /// The change to the request in the prefix form; `None` in the host form.
        rewrite: Option<Rewrite<'p>>,
    },
    /// To a host that no row knows, by an operation of a known dialect: metered as provider `unknown`, and nothing is injected.
    Unknown {
        /// The operation.
        operation: Matched,
    },
    /// Untouched and unmetered.
    Pass,
    /// Nowhere: answered with 404.
    NotFound {
        /// Why, for the client; nothing of the request but a row's id is repeated.
        message: String,
    },
}

/// What the prefix form changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite<'p> {
    /// The new `:path`, query and all.
    pub path: Cow<'p, [u8]>,
    /// The new `:authority`.
    pub authority: Cow<'static, str>,
}

impl Providers {
    /// The rows that a configuration amounts to.
    #[must_use]
    #[inline(never)]
    pub fn new(config: &Config) -> Self {
        let built_in = table::rows().iter().filter(|row| config.extra.iter().all(|extra| extra.id != row.id));
        let rows: Vec<Rc<Row>> = config.extra.iter().chain(built_in).cloned().map(Rc::new).collect();
        let mut by_id = HashMap::new();
        let mut by_host = HashMap::new();
        let mut patterns = Vec::new();
        for row in &rows {
            by_id.entry(row.id.as_bytes().to_vec()).or_insert_with(|| Rc::clone(row));
            for host in row.hosts.iter().map(|host| host.as_bytes().to_ascii_lowercase()) {
                if host.contains(&b'*') {
                    patterns.push((host, Rc::clone(row)));
                } else {
                    by_host.entry(host).or_insert_with(|| Rc::clone(row));
                }
            }
        }
        let prefix_authorities = config.prefix_authorities.iter().map(|text| text.as_bytes().to_ascii_lowercase());
        Self {
            rows,
            by_id,
            by_host,
            patterns,
            prefix_authorities: prefix_authorities.collect(),
            unknown: config.unknown,
        }
    }

    /// All rows: the operator's first.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().map(AsRef::as_ref)
    }

    /// Where a request goes. `path` is `:path` with its query; `sigv4` says whether the request is signed (a signature covers host
    /// and path, so that such a request never takes the prefix form).
    #[must_use]
    pub fn route<'p>(&self, method: &[u8], authority: &[u8], path: &'p [u8], sigv4: bool) -> Route<'p> {
        let host = Host::of(authority);
        if let Some(row) = host.as_ref().and_then(|host| self.row_of_host(host)) {
            return Route::Known { row: Rc::clone(row), operation: metered(row, method, path), rewrite: None };
        }
        if !sigv4
            && host.is_some_and(|host| self.takes_prefix(&host, authority))
            && let Some((row, path)) = self.row_of_prefix(path)
        {
            let Some(authority) = row.authority.clone() else {
                let id = &row.id;
                let message = format!(
                    "Provider {id} has no fixed host. Give its entry in the configuration, providers.extra with id {id}, the \
                     key `authority`, or use its own host name."
                );
                return Route::NotFound { message };
            };
            let operation = metered(row, method, &path);
            return Route::Known { row: Rc::clone(row), operation, rewrite: Some(Rewrite { path, authority }) };
        }
        match (self.unknown, detect(method, path)) {
            (Unknown::Detect, Some(operation)) => Route::Unknown { operation },
            (Unknown::Detect, None) | (Unknown::Pass, _) => Route::Pass,
            (Unknown::Reject, _) => Route::NotFound { message: "No provider is configured for this host.".to_owned() },
        }
    }

    fn row_of_host(&self, host: &Host) -> Option<&Rc<Row>> {
        let host = host.as_bytes();
        let by_pattern = || self.patterns.iter().find(|(pattern, _)| matches(pattern, host)).map(|(_, row)| row);
        self.by_host.get(host).or_else(by_pattern)
    }

    fn takes_prefix(&self, host: &Host, authority: &[u8]) -> bool {
        let whole = Host::with_port(authority);
        let is_listed = |listed: &Vec<u8>| {
            listed == host.as_bytes() || whole.as_ref().is_some_and(|whole| listed == whole.as_bytes())
        };
        host.is_ip() || self.prefix_authorities.iter().any(is_listed)
    }

    /// The row that the first path segment names, and the path without that segment.
    fn row_of_prefix<'p>(&self, path: &'p [u8]) -> Option<(&Rc<Row>, Cow<'p, [u8]>)> {
        let path = path.strip_prefix(b"/")?;
        let end = path.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(path.len());
        let (id, rest) = path.split_at_checked(end)?;
        let row = self.by_id.get(id)?;
        let rest = if rest.starts_with(b"/") { Cow::Borrowed(rest) } else { Cow::Owned([b"/", rest].concat()) };
        Some((row, rest))
    }
}

/// The operation, if the row speaks its dialect.
fn metered(row: &Row, method: &[u8], path: &[u8]) -> Option<Matched> {
    find(&row.dialects, method, path)
}

#[cfg(test)]
mod tests;
