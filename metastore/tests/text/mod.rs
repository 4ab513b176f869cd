//! Golden bytes as text: 32 bytes a line, in hexadecimal.

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .chunks(32)
        .map(|line| {
            line.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect::<String>()
        })
        .collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hexadecimal digits are ASCII");
        u8::from_str_radix(pair, 16).expect("only hexadecimal digits were kept")
    };
    digits.chunks(2).map(byte).collect()
}
