#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { meterr_laws::hide(data); });
