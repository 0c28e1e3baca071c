//! What an exchange may cost the proxy, in counts: hostcalls, bytes copied into the VM, steps of the program. Wants `scripts/build`.

use std::{collections::BTreeMap, fs};

use meterr_tests::{
    envoy::root,
    vm::{Budget, Measured},
};

/// Bytes of the largest function. What V8's compiler takes for it is never given back by Envoy's allocator: a function of 20 KB costs as much
/// memory as a few hundred small ones, and is best cut with `#[inline(never)]`.
const MAX_FUNCTION: usize = 10_000;

/// Steps depend on the compiler, which may be another one's tomorrow: the budgets lie in the middle of what the two toolchains of `scripts/build` give.
const STEPS_TOLERANCE_PERCENT: u64 = 5;

/// Each figure is within its budget. One that fell by more than the tolerance has a budget that is too large: nobody would see it rise
/// again. `METERR_BLESS=1` writes the budgets anew; a reviewer sees which rose.
#[test]
fn ok_within_the_budget() {
    let file = root().join("tests/budgets.json");
    let measured = Measured::of(&root().join("target/meterr.wasm")).expect("exchanges of the benchmark");
    let totals = measured.totals();
    if std::env::var_os("METERR_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&totals).expect("JSON");
        fs::write(&file, text + "\n").expect("writing the budgets");
    }
    let text = fs::read_to_string(&file).expect("tests/budgets.json");
    let budgets: BTreeMap<String, Budget> = serde_json::from_str(&text).expect("budgets");
    assert!(budgets.keys().eq(totals.keys()), "budgets of {:?}, measured {:?}", budgets.keys(), totals.keys());
    let mut wrong = Vec::new();
    for (name, total) in &totals {
        for ((figure, value), (_, most)) in total.figures().into_iter().zip(budgets[name].figures()) {
            let tolerance = if figure == "steps" { most * STEPS_TOLERANCE_PERCENT / 100 } else { 0 };
            if value > most + tolerance {
                wrong.push(format!("{name}: {figure} is {value}, more than its budget of {most}"));
            } else if value + tolerance < most {
                wrong.push(format!("{name}: {figure} is {value}, and its budget of {most} can be lowered"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n\n{}", wrong.join("\n"), details(&measured));
}

#[test]
fn ok_no_function_is_large() {
    let module = fs::read(root().join("target/meterr.wasm")).expect("target/meterr.wasm");
    let sizes = wasmparser::Parser::new(0).parse_all(&module).filter_map(|payload| match payload.expect("a module") {
        wasmparser::Payload::CodeSectionEntry(body) => Some(body.range().len()),
        _ => None,
    });
    let sizes: Vec<usize> = sizes.collect();
    assert!(sizes.len() > 100, "{} functions", sizes.len());
    let largest = sizes.iter().max().copied();
    assert!(largest <= Some(MAX_FUNCTION), "a function has {largest:?} bytes, more than {MAX_FUNCTION}");
}

fn details(measured: &Measured) -> String {
    measured.0.iter().map(|(name, profile)| format!("{name}\n{profile}")).collect()
}
