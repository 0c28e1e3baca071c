//! A system around a configuration of Envoy that is made for it, and not one of the files of this repository.

use std::{net::SocketAddr, path::Path};

use anyhow::Result;
use serde_json::Value;

use super::{Collector, MODULE, Process, Provider, Stack, made, wasm};
use crate::example;

/// Where the parts are that the configuration leads to.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The provider.
    pub provider: SocketAddr,
    /// The collector.
    pub collector: SocketAddr,
    /// A directory for its files; the access log is in it.
    pub directory: &'p Path,
}

impl Stack {
    /// As [`Stack::start`], around a file of `envoy/examples` that is pointed at the stand-ins and then changed. The files that it wants
    /// below `/etc/meterr` are in that directory.
    #[must_use]
    pub fn example(name: &str, files: &Path, variables: &[(&str, &str)], change: impl FnOnce(&mut Value)) -> Self {
        Self::made_for(variables, |place| {
            let mut file = example::load(name, files)?;
            example::point(&mut file, place.provider, place.collector, place.directory)?;
            change(&mut file);
            Ok(file)
        })
    }

    /// As [`Stack::start`], around the configuration that `make` makes, with these environment variables.
    #[must_use]
    pub fn made_for(variables: &[(&str, &str)], make: impl FnOnce(Place<'_>) -> Result<Value>) -> Self {
        made(Self::try_made_for(variables, make))
    }

    /// As [`Stack::made_for`], where Envoy may refuse what was made.
    ///
    /// # Errors
    /// If it does; the error holds its log.
    pub fn try_made_for(variables: &[(&str, &str)], make: impl FnOnce(Place<'_>) -> Result<Value>) -> Result<Self> {
        let (provider, directory) = (Provider::start(0)?, tempfile::tempdir()?);
        let collector = Collector::start(0, &directory.path().join("events.sqlite"))?;
        wasm(MODULE)?;
        let place = Place { provider: provider.address(), collector: collector.address(), directory: directory.path() };
        let file = make(place)?;
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let process = Process { concurrency: 2, variables, ..Process::default() };
        Self::around(file, process, provider, collector, directory)
    }
}
