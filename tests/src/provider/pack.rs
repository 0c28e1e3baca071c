//! Content encodings as servers write them: a flush after each piece, so that a stream arrives as it is made.

use std::io::{self, Write};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use serde::Deserialize;
use zstd::stream::write::Encoder as ZstdEncoder;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// `gzip`.
    Gzip,
    /// `deflate` as it is meant: zlib.
    Zlib,
    /// `deflate` as some servers understand it.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

impl Packing {
    /// The value of `content-encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib | Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The pieces compressed, and one more that ends them.
    ///
    /// # Errors
    /// If the compressor fails.
    pub fn pack(self, pieces: &[String]) -> io::Result<Vec<Bytes>> {
        let level = Compression::default();
        match self {
            Self::Gzip => pack(pieces, GzEncoder::new(Vec::new(), level), GzEncoder::get_mut, GzEncoder::finish),
            Self::Zlib => pack(pieces, ZlibEncoder::new(Vec::new(), level), ZlibEncoder::get_mut, ZlibEncoder::finish),
            Self::Deflate => {
                pack(pieces, DeflateEncoder::new(Vec::new(), level), DeflateEncoder::get_mut, DeflateEncoder::finish)
            }
            Self::Brotli => {
                let writer = CompressorWriter::new(Vec::new(), 4096, 5, 20);
                pack(pieces, writer, CompressorWriter::get_mut, |writer| Ok(writer.into_inner()))
            }
            Self::Zstd => pack(pieces, ZstdEncoder::new(Vec::new(), 3)?, ZstdEncoder::get_mut, ZstdEncoder::finish),
        }
    }
}

fn pack<W: Write>(
    pieces: &[String],
    mut writer: W,
    out: impl Fn(&mut W) -> &mut Vec<u8>,
    finish: impl FnOnce(W) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<Bytes>> {
    let mut packed = Vec::new();
    for piece in pieces {
        writer.write_all(piece.as_bytes())?;
        writer.flush()?;
        packed.push(Bytes::from(std::mem::take(out(&mut writer))));
    }
    packed.push(Bytes::from(finish(writer)?));
    Ok(packed)
}
