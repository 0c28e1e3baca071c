//! Writes the seeds of a target: `seeds TARGET FOLDER`.

use std::{env, fs, path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [target, folder] = arguments.as_slice() else {
        eprintln!("usage: seeds TARGET FOLDER");
        return ExitCode::FAILURE;
    };
    let seeds = meterr_laws::seeds::seeds(target);
    for (nth, seed) in seeds.iter().enumerate() {
        let path = PathBuf::from(folder).join(format!("seed-{nth:03}"));
        if let Err(error) = fs::write(&path, seed) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if seeds.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
