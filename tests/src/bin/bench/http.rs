//! The least HTTP/1.1 that the load and the stand-ins need: it must cost far less than the Envoy between them.
//!
//! Strict where a mistake would make a subject look fast, blind to everything else.

use std::{io, net::SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use meterr_tests::workload::BENCH_HEADER;
use tokio::net::TcpStream;

/// Bytes that one read takes at most: a request of 1 MB is read in a few.
const BUFFER: usize = 256 * 1024;

/// One connection and what was read from it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// What matters of a head.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The request or status line.
    pub(crate) first: String,
    /// Of the body; none if it is chunked.
    pub(crate) length: Option<usize>,
    /// The value of [`BENCH_HEADER`].
    pub(crate) told: Option<String>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER], start: 0, end: 0 })
    }

    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        Ok(Self::new(stream)?)
    }

    /// Sends all of it.
    pub(crate) async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next head, or nothing if the peer closed the connection between messages.
    pub(crate) async fn head(&mut self) -> Result<Option<Head>> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(length) = find(unread, b"\r\n\r\n") {
                let head = Head::parse(&unread[..length])?;
                self.start += length + 4;
                return Ok(Some(head));
            }
            let is_between = unread.is_empty();
            if self.fill().await? == 0 {
                ensure!(is_between, "closed within a head");
                return Ok(None);
            }
        }
    }

    /// Reads the body of this message to its end, piece by piece; gives back its length, without the framing.
    pub(crate) async fn body(&mut self, head: &Head, mut each: impl FnMut(&[u8])) -> Result<usize> {
        if let Some(length) = head.length {
            self.take(length, &mut each).await?;
            return Ok(length);
        }
        let mut total = 0;
        loop {
            let size = self.chunk_size().await?;
            self.take(size, &mut each).await?;
            self.take(2, &mut |_| {}).await?;
            if size == 0 {
                return Ok(total);
            }
            total += size;
        }
    }

    async fn chunk_size(&mut self) -> Result<usize> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(length) = find(unread, b"\r\n") {
                let line = str::from_utf8(&unread[..length]).context("a chunk's size")?;
                let size = usize::from_str_radix(line, 16).with_context(|| format!("{line:?} for a chunk's size"))?;
                self.start += length + 2;
                return Ok(size);
            }
            ensure!(self.fill().await? > 0, "closed within a body");
        }
    }

    async fn take(&mut self, mut length: usize, each: &mut impl FnMut(&[u8])) -> Result<()> {
        while length > 0 {
            if self.start == self.end && self.fill().await? == 0 {
                bail!("closed with {length} bytes missing");
            }
            let size = length.min(self.end - self.start);
            each(&self.buffer[self.start..self.start + size]);
            self.start += size;
            length -= size;
        }
        Ok(())
    }

    /// Reads what is there, and waits if nothing is; 0 is the end.
    async fn fill(&mut self) -> Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        ensure!(self.end < self.buffer.len(), "a head of more than {BUFFER} bytes");
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let text = str::from_utf8(bytes).context("a head is text here")?;
        let mut lines = text.split("\r\n");
        let mut head = Self { first: lines.next().unwrap_or_default().to_owned(), ..Self::default() };
        let mut is_chunked = false;
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            match name {
                "content-length" => {
                    head.length = Some(value.parse().with_context(|| format!("content-length {value}"))?);
                }
                "transfer-encoding" => is_chunked = value == "chunked",
                BENCH_HEADER => head.told = Some(value.to_owned()),
                _ => {}
            }
        }
        ensure!(head.length.is_some() != is_chunked, "either content-length or chunks:\n{text}");
        Ok(head)
    }
}

/// Where that is, the first time.
pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let (first, rest) = what.split_first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| byte == first) {
        from += at + 1;
        if bytes.get(from..)?.starts_with(rest) {
            return Some(from - 1);
        }
    }
    None
}

/// How often that is there.
pub(crate) fn count(mut bytes: &[u8], what: &[u8]) -> u64 {
    let mut count = 0;
    while let Some(at) = find(bytes, what) {
        count += 1;
        bytes = bytes.get(at + what.len()..).unwrap_or_default();
    }
    count
}
