//! Parses the two kinds of range that clients send: `Range` on a download, `Content-Range` on a chunk of an upload.

/// The part of a blob that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestedRange {
    /// All of it: there is no range, or one that isn't supported (RFC 9110, section 14.2, allows ignoring it).
    Whole,
    /// The bytes from `first` to `last`, inclusive.
    Part {
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// A range outside the blob.
    Unsatisfiable,
}

/// Reads a `Range` header against a blob of `size` bytes. Multiple ranges select the whole blob.
pub(super) fn wanted(header: Option<&str>, size: u64) -> RequestedRange {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return RequestedRange::Whole;
    };
    if spec.contains(',') {
        return RequestedRange::Whole;
    }
    let Some((first, last)) = spec.split_once('-') else {
        return RequestedRange::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let (first, last) = match (number(first), number(last)) {
        (Some(first), Some(last)) => (first, last),
        (Some(first), None) if last.is_empty() => (first, u64::MAX),
        (None, Some(length)) if first.is_empty() => {
            if length == 0 {
                return RequestedRange::Unsatisfiable;
            }
            (size.saturating_sub(length), u64::MAX)
        }
        _ => return RequestedRange::Whole,
    };
    if first > last || first >= size {
        return RequestedRange::Unsatisfiable;
    }
    RequestedRange::Part { first, last: last.min(size - 1) }
}

/// A chunk's position in a blob, from a `Content-Range` header: `<first>-<last>`, inclusive (distribution
/// specification, "Pushing a blob in chunks").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The offset of its first byte.
    pub first: u64,
    /// Its length in bytes, at least one.
    pub length: u64,
}

/// Reads a `Content-Range` header. `None` if it is malformed, or ends before it begins.
pub(super) fn chunk(header: &str) -> Option<Chunk> {
    let (first, last) = header.trim().split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let length = last.checked_sub(first)?.checked_add(1)?;
    Some(Chunk { first, length })
}

/// Digits only: `parse` alone would accept `+1`.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_download() {
        assert_eq!(wanted(None, 10), RequestedRange::Whole);
        assert_eq!(wanted(Some("bytes=2-4"), 10), RequestedRange::Part { first: 2, last: 4 });
        assert_eq!(wanted(Some("bytes=2-"), 10), RequestedRange::Part { first: 2, last: 9 });
        assert_eq!(wanted(Some("bytes=-3"), 10), RequestedRange::Part { first: 7, last: 9 });
        assert_eq!(wanted(Some("bytes=-30"), 10), RequestedRange::Part { first: 0, last: 9 });
        assert_eq!(wanted(Some("bytes=8-99"), 10), RequestedRange::Part { first: 8, last: 9 });
        for bad in ["bytes=10-", "bytes=5-4", "bytes=-0", "bytes=10-20"] {
            assert_eq!(wanted(Some(bad), 10), RequestedRange::Unsatisfiable, "{bad}");
        }
        assert_eq!(wanted(Some("bytes=0-"), 0), RequestedRange::Unsatisfiable);
        for ignored in ["bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "bytes=-", "bytes=+1-2", "bytes"] {
            assert_eq!(wanted(Some(ignored), 10), RequestedRange::Whole, "{ignored}");
        }
    }

    #[test]
    fn chunks_of_an_upload() {
        assert_eq!(chunk("0-9"), Some(Chunk { first: 0, length: 10 }));
        assert_eq!(chunk("7-7"), Some(Chunk { first: 7, length: 1 }));
        for bad in ["", "5", "5-4", "-4", "5-", "bytes 0-9/10", "0-18446744073709551615", "99999999999999999999-1"] {
            assert_eq!(chunk(bad), None, "{bad}");
        }
    }
}
