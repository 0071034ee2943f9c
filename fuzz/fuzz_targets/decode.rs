//! Any bytes, as if they had arrived on the UDP port.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| systole_core::wire::check(data));
