//! The built-in registry, with any client.

use crate::serve::fuzzed::connection;

/// The input is a sequence of connections, separated by `\n#\n`. `@ID` is replaced by the upload that the last response
/// named.
pub fn run(bytes: &[u8]) {
    crate::serve::fuzzed::registry(|registry| {
        let mut id = String::new();
        let mut rest = bytes;
        for _ in 0..4 {
            let divider = rest.windows(3).position(|window| window == b"\n#\n");
            let (this, next) = divider.map_or((rest, &[][..]), |at| (&rest[..at], &rest[at + 3..]));
            let answers = connection(registry, &replaced(this, b"@ID", id.as_bytes()));
            if let Some((_, after)) = answers.rsplit_once("/blobs/uploads/") {
                id = after.chars().take_while(char::is_ascii_alphanumeric).collect();
            }
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
    });
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
