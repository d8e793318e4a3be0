//! Decompresses layers and tars of others as a stream, in bounded memory.

use std::io::Write as _;

use flate2::write::MultiGzDecoder;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use crate::error::{Error, Result};
use crate::image::format::LayerCompression;

/// Input size per step, in bytes. Deflate expands a byte to a thousand at most, so a step yields a few megabytes at
/// most.
const GZIP_PIECE: usize = 4 * 1024;
/// Output buffer for zstd, in bytes.
const ZSTD_PIECE: usize = 128 * 1024;
/// The largest window of zstd, as the logarithm of its bytes: 32 MiB, four times what every reader must offer (RFC 8878,
/// section 3.1.1.1.2). A larger one would let the input decide how much memory is used.
const ZSTD_WINDOW_LOG: u32 = 25;

/// Detects the compression by the first four bytes.
pub(crate) fn packing(head: &[u8]) -> LayerCompression {
    match head {
        [0x1f, 0x8b, ..] => LayerCompression::Gzip,
        // Also a skippable frame, which some tools put first.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => LayerCompression::Zstd,
        _ => LayerCompression::Plain,
    }
}

/// A push-style decompressor.
pub(crate) struct Decompressor {
    /// Its name in errors.
    what: String,
    engine: Decoder,
}

enum Decoder {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd(Zstd),
}

impl Decompressor {
    /// Decompresses what errors call `what`.
    ///
    /// # Errors
    /// The library is out of memory.
    pub(crate) fn new(packing: LayerCompression, what: String) -> Result<Self> {
        let engine = match packing {
            LayerCompression::Plain => Decoder::Plain,
            LayerCompression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            LayerCompression::Zstd => Decoder::Zstd(Zstd::new()?),
        };
        Ok(Self { what, engine })
    }

    /// Takes compressed bytes and passes the decompressed ones to `out`.
    ///
    /// # Errors
    /// They are malformed; or errors of `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match &mut self.engine {
            Decoder::Plain => out(bytes),
            Decoder::Gzip(decoder) => {
                for piece in bytes.chunks(GZIP_PIECE) {
                    decoder.write_all(piece).map_err(|error| malformed(&self.what, &format!("gzip: {error}")))?;
                    out(decoder.get_ref())?;
                    decoder.get_mut().clear();
                }
                Ok(())
            }
            Decoder::Zstd(decoder) => decoder.push(bytes, &self.what, out),
        }
    }

    /// Ends the input.
    ///
    /// # Errors
    /// It is incomplete.
    pub(crate) fn finish(&mut self, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match &mut self.engine {
            Decoder::Gzip(decoder) => {
                decoder.try_finish().map_err(|error| malformed(&self.what, &format!("gzip: {error}")))?;
                out(decoder.get_ref())
            }
            Decoder::Zstd(decoder) if decoder.is_within_frame => {
                Err(malformed(&self.what, "zstd: it ends in the middle of a frame"))
            }
            Decoder::Plain | Decoder::Zstd(_) => Ok(()),
        }
    }
}

struct Zstd {
    context: DCtx<'static>,
    buffer: Vec<u8>,
    is_within_frame: bool,
}

impl Zstd {
    fn new() -> Result<Self> {
        let fail = || Error::bug("zstd can't be set up: there is no memory");
        let mut context = DCtx::try_create().ok_or_else(fail)?;
        context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(|_| fail())?;
        Ok(Self { context, buffer: Vec::with_capacity(ZSTD_PIECE), is_within_frame: false })
    }

    fn push(&mut self, bytes: &[u8], what: &str, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut input = InBuffer::around(bytes);
        loop {
            self.buffer.clear();
            let mut output = OutBuffer::around(&mut self.buffer);
            let hint = self
                .context
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| malformed(what, &format!("zstd: {}", zstd_safe::get_error_name(code))))?;
            let is_full = output.pos() == ZSTD_PIECE;
            self.is_within_frame = hint != 0;
            out(&self.buffer)?;
            // A full buffer may mean that more output is pending. At the end of a frame none is, and asking would start
            // another frame.
            if input.pos() == bytes.len() && (hint == 0 || !is_full) {
                return Ok(());
            }
        }
    }
}

fn malformed(what: &str, reason: &str) -> Error {
    Error::malformed(what.to_owned(), reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(form: LayerCompression, bytes: &[u8], piece: usize) -> Result<Vec<u8>> {
        let mut back = Vec::new();
        let mut unpacker = Decompressor::new(form, "it".to_owned())?;
        let mut out = |bytes: &[u8]| {
            back.extend(bytes);
            Ok(())
        };
        bytes.chunks(piece).try_for_each(|piece| unpacker.push(piece, &mut out))?;
        unpacker.finish(&mut out)?;
        Ok(back)
    }

    fn zstd(bytes: &[u8], level: i32) -> Vec<u8> {
        let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
        zstd_safe::compress(&mut out, bytes, level).unwrap();
        out
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn several_members_and_frames_in_pieces_of_any_size() {
        let content: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
        let two = |pack: &dyn Fn(&[u8]) -> Vec<u8>| [pack(&content[..1000]), pack(&content[1000..])].concat();
        for (form, packed) in
            [(LayerCompression::Gzip, two(&gzip)), (LayerCompression::Zstd, two(&|bytes| zstd(bytes, 3)))]
        {
            assert_eq!(packing(&packed), form);
            for piece in [1, 7, 4096, 1 << 20] {
                assert!(unpacked(form, &packed, piece).unwrap() == content, "{form:?} {piece}");
            }
            for cut in [3, 500, packed.len() - 1] {
                assert!(unpacked(form, &packed[..cut], 4096).is_err(), "{form:?} cut at {cut}");
            }
        }
        let mut broken = gzip(&content);
        let middle = broken.len() / 2;
        broken[middle] ^= 0x55;
        assert!(unpacked(LayerCompression::Gzip, &broken, 4096).unwrap_err().to_string().starts_with("it: gzip: "));
        assert!(unpacked(LayerCompression::Plain, &content, 100).unwrap() == content);
    }

    #[test]
    fn what_grows_without_bounds_does_so_piece_by_piece() {
        let zeros = vec![0; 64 << 20];
        for (form, packed) in [(LayerCompression::Gzip, gzip(&zeros)), (LayerCompression::Zstd, zstd(&zeros, 3))] {
            let mut largest = 0;
            let mut unpacker = Decompressor::new(form, "it".to_owned()).unwrap();
            let mut out = |bytes: &[u8]| {
                largest = largest.max(bytes.len());
                Ok(())
            };
            unpacker.push(&packed, &mut out).unwrap();
            unpacker.finish(&mut out).unwrap();
            assert!(largest < 5 << 20, "{form:?}: {largest}");
        }
    }

    #[test]
    fn a_window_that_takes_too_much_memory_is_refused() {
        let mut context = zstd_safe::CCtx::create();
        context.set_parameter(zstd_safe::CParameter::WindowLog(27)).unwrap();
        context.set_parameter(zstd_safe::CParameter::ContentSizeFlag(false)).unwrap();
        let mut packed = Vec::with_capacity(4096);
        let mut output = OutBuffer::around(&mut packed);
        context.compress_stream(&mut output, &mut InBuffer::around(b"some")).unwrap();
        context.end_stream(&mut output).unwrap();
        assert!(unpacked(LayerCompression::Zstd, &packed, 4096).unwrap_err().to_string().contains("zstd: "));
    }
}
