//! Layers built by others, compressed or not, and the tars in them.

use super::assert_one_line;
use crate::error::{Error, Result};
use crate::layer::decompress::{Decompressor, packing};
use crate::layer::scan::LayerScan;
use crate::layer::tar_inspector::TarInspector;

const BLOCK: usize = 512;
/// Maximum decompressed size, in bytes; the rest is ignored.
const ENOUGH: usize = 4 * 1024 * 1024;

/// The first byte selects the mode: its low bit repairs checksums, so that the code after them is reached; the other
/// bits set the size of the pieces that the input arrives in. The result must not depend on the size of the pieces.
pub fn run(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if how & 1 == 1 {
        repair(&mut bytes);
    }
    let piece = usize::from(how >> 1) * 16 + 1;
    let whole = look(&bytes, bytes.len().max(1));
    let pieces = look(&bytes, piece);
    match (whole, pieces) {
        (Err(error), Err(_)) => assert_one_line(&error),
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
        (whole, pieces) => panic!("whole: {whole:?}; in pieces of {piece}: {pieces:?}"),
    }
}

/// The programs found.
fn look(bytes: &[u8], piece: usize) -> Result<Vec<String>> {
    let mut findings = LayerScan::new(true);
    let mut inspector = TarInspector::new("the layer", &mut findings);
    let mut unpacker = Decompressor::new(packing(bytes), "the layer".to_owned())?;
    let mut seen = 0;
    let mut out = |bytes: &[u8]| {
        seen += bytes.len();
        if seen > ENOUGH { Err(Error::bug("that is enough")) } else { inspector.push(bytes) }
    };
    for piece in bytes.chunks(piece) {
        unpacker.push(piece, &mut out)?;
    }
    unpacker.finish(&mut out)?;
    inspector.finish()?;
    Ok(findings.programs().map(|(name, _)| name.clone()).collect())
}

/// Repairs the checksum of each block that could be a header.
fn repair(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(BLOCK) {
        if block[257] != b'u' {
            continue;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        block[154] = 0;
    }
}
