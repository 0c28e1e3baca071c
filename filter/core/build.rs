//! Packs the price table: the module holds it compressed.

use std::{env, error::Error, fs, io::Write as _, path::Path};

use flate2::{Compression, write::ZlibEncoder};

const TABLE: &str = "src/price/table.tsv";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={TABLE}");
    let text = fs::read_to_string(TABLE)?;
    let rows: String = text.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect();
    let packed = Path::new(&env::var("OUT_DIR")?).join("price-table");
    let mut file = fs::File::create(packed)?;
    // What it takes to unpack it at once.
    file.write_all(&u32::try_from(rows.len())?.to_le_bytes())?;
    let mut encoder = ZlibEncoder::new(file, Compression::best());
    encoder.write_all(rows.as_bytes())?;
    encoder.finish()?;
    Ok(())
}
