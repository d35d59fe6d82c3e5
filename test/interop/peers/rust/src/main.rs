//! Rust's fernet as a peer: see ../../../peer.py for what it reads and writes.

use fernet::{Fernet, MultiFernet};
use std::io::{BufRead, Write};

type Answer = (&'static str, Vec<u8>);

/// Reads a value of a line. The harness writes hexadecimal digits only.
fn bytes(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal digits"))
        .collect()
}

fn seconds(text: &str) -> u64 {
    text.parse().expect("seconds")
}

/// Reads the keys; None when one of them is refused.
fn read_keys(text: &str) -> Option<Vec<Fernet>> {
    text.split(',')
        .map(|key| Fernet::new(&String::from_utf8(bytes(key)).ok()?))
        .collect()
}

fn open(arguments: &[&str]) -> Answer {
    let refused = ("refused", Vec::new());
    let unasked = ("unasked", Vec::new());
    let keys = match read_keys(arguments[0]) {
        Some(keys) => keys,
        None => return refused,
    };
    // The library takes a string.
    let token = match String::from_utf8(bytes(arguments[1])) {
        Ok(token) => token,
        Err(_) => return unasked,
    };
    let (ttl, now) = (arguments[2], seconds(arguments[3]));
    let opened = if keys.len() == 1 {
        let ttl = if ttl == "-" { None } else { Some(seconds(ttl)) };
        keys[0].decrypt_at_time(&token, ttl, now)
    } else if ttl == "-" {
        MultiFernet::new(keys).decrypt(&token)
    } else {
        // Its MultiFernet knows no ttl.
        return unasked;
    };
    opened.map_or(refused, |plaintext| ("opened", plaintext))
}

fn seal(arguments: &[&str]) -> Answer {
    match read_keys(arguments[0]) {
        None => ("refused", Vec::new()),
        Some(keys) => {
            let token = keys[0].encrypt_at_time(&bytes(arguments[1]), seconds(arguments[2]));
            ("sealed", token.into_bytes())
        }
    }
}

/// Does what a line asks.
fn answer(task: &str, arguments: &[&str]) -> Answer {
    match task {
        "open" => open(arguments),
        "seal" => seal(arguments),
        _ => ("unasked", Vec::new()),
    }
}

fn main() {
    // The words of a panic would show values.
    std::panic::set_hook(Box::new(|_| ()));
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let fields: Vec<&str> = line.split('\t').collect();
        let (outcome, value) = std::panic::catch_unwind(|| answer(fields[1], &fields[2..]))
            .unwrap_or(("crashed", Vec::new()));
        let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(output, "{}\t{}\t{}", fields[0], outcome, value).expect("to be read");
    }
}
