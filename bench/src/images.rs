//! The images of the bench: seeded noise, the same on every machine, pushed over plain HTTP.

use anyhow::{Result, anyhow};

use std::io::Write;
use std::net::SocketAddr;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::http::{Connection, Response};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The platforms of the index that is promoted, and more operating systems for an index of 30.
pub const ARCHITECTURES: [(&str, &str); 8] = [
    ("amd64", ""),
    ("arm64", "v8"),
    ("arm", "v7"),
    ("arm", "v6"),
    ("386", ""),
    ("ppc64le", ""),
    ("s390x", ""),
    ("riscv64", ""),
];
const SYSTEMS: [&str; 4] = ["linux", "freebsd", "netbsd", "openbsd"];

/// One image or several in one repository, which a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    pub repository: &'static str,
    /// The number of images: as children of one index, or under separate tags.
    pub count: usize,
    pub indexed: bool,
    pub layers: usize,
    pub layer_bytes: u64,
}

pub const PLATFORMS: Image =
    Image { repository: "bench/platforms", count: 8, indexed: true, layers: 6, layer_bytes: 1_000_000 };
pub const SINGLE: Image =
    Image { repository: "bench/single", count: 1, indexed: false, layers: 5, layer_bytes: 4_000_000 };
pub const BULK: Image =
    Image { repository: "bench/bulk", count: 1, indexed: false, layers: 10, layer_bytes: 50_000_000 };
pub const HUGE: Image =
    Image { repository: "bench/huge", count: 1, indexed: false, layers: 1, layer_bytes: 2_000_000_000 };
pub const PARTS: Image = Image { repository: "bench/parts", count: 30, indexed: false, layers: 1, layer_bytes: 20_000 };
pub const SMALL: Image =
    Image { repository: "bench/small", count: 200, indexed: false, layers: 3, layer_bytes: 20_000 };

/// Everything in an image's repository.
pub fn complete(image: Image) -> Image {
    [PLATFORMS, SINGLE, BULK, HUGE, PARTS, SMALL]
        .into_iter()
        .find(|one| one.repository == image.repository)
        .unwrap_or(image)
}

impl Image {
    /// Its tags.
    pub fn tags(&self) -> Vec<String> {
        if self.indexed || self.count == 1 {
            return vec!["v1".to_owned()];
        }
        (1..=self.count).map(|number| format!("v{number}")).collect()
    }

    /// The platforms of its images, in order.
    pub fn platforms(&self) -> Vec<Value> {
        (0..self.count)
            .map(|number| {
                let (architecture, variant) = ARCHITECTURES[number % ARCHITECTURES.len()];
                let system = SYSTEMS[number / ARCHITECTURES.len() % SYSTEMS.len()];
                let mut platform = json!({ "architecture": architecture, "os": system });
                if !variant.is_empty() {
                    platform["variant"] = variant.into();
                }
                platform
            })
            .collect()
    }

    /// Bytes of all layers.
    pub fn bytes(&self) -> u64 {
        (self.count * self.layers) as u64 * self.layer_bytes
    }

    /// Number of blobs: layers and configs.
    pub fn blobs(&self) -> usize {
        self.count * (self.layers + 1)
    }

    /// Pushes it to the registry at `host`.
    pub fn push(&self, host: SocketAddr) -> Result<()> {
        let registry = &mut Connection::open(host)?;
        let mut children = vec![];
        for (number, platform) in self.platforms().into_iter().enumerate() {
            let manifest = self.push_platform(registry, number, &platform)?;
            let tag = (!self.indexed).then(|| self.tags()[number].clone());
            let mut child = put_manifest(registry, self.repository, tag.as_deref(), MANIFEST, &manifest)?;
            child["platform"] = platform;
            children.push(child);
        }
        if self.indexed {
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
            put_manifest(registry, self.repository, Some("v1"), INDEX, &index)?;
        }
        Ok(())
    }

    /// Pushes the blobs of one platform; returns its manifest.
    fn push_platform(&self, registry: &mut Connection, number: usize, platform: &Value) -> Result<Value> {
        let (mut layers, mut diff_ids) = (vec![], vec![]);
        for layer in 0..self.layers {
            // Every layer of every image is different.
            let seed = (self.layer_bytes << 20) + ((number as u64) << 8) + layer as u64 + 1;
            let (descriptor, diff_id) = push_layer(registry, self.repository, seed, self.layer_bytes)?;
            layers.push(descriptor);
            diff_ids.push(diff_id);
        }
        let mut config = platform.clone();
        config["config"] =
            json!({ "Entrypoint": ["/app"], "Labels": { "bench.image": format!("{} {number}", self.repository) } });
        config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        let config = put_blob(registry, self.repository, CONFIG, config.to_string().as_bytes())?;
        Ok(json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers }))
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    digest_text(Sha256::digest(bytes).as_slice())
}

fn digest_text(hash: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in hash {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn put_manifest(
    registry: &mut Connection,
    repository: &str,
    tag: Option<&str>,
    media_type: &str,
    manifest: &Value,
) -> Result<Value> {
    let bytes = manifest.to_string().into_bytes();
    let digest = sha256(&bytes);
    let path = format!("/v2/{repository}/manifests/{}", tag.unwrap_or(&digest));
    registry.request("PUT", &path, &[("Content-Type", media_type)], &bytes)?.expect(201, &path)?;
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
}

/// Pushes a blob from memory; returns its descriptor.
pub fn put_blob(registry: &mut Connection, repository: &str, media_type: &str, bytes: &[u8]) -> Result<Value> {
    let digest = sha256(bytes);
    let path = with_digest(&start_upload(registry, repository)?, &digest);
    registry.request("PUT", &path, &[("Content-Type", "application/octet-stream")], bytes)?.expect(201, "PUT")?;
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
}

/// Starts an upload; returns its path.
fn start_upload(registry: &mut Connection, repository: &str) -> Result<String> {
    let path = format!("/v2/{repository}/blobs/uploads/");
    path_of(&registry.request("POST", &path, &[], &[])?.expect(202, &path)?)
}

fn path_of(response: &Response) -> Result<String> {
    let location = response.header("location").ok_or_else(|| anyhow!("an upload without a Location"))?;
    let path = location.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned()));
    Ok(path.unwrap_or_else(|| location.to_owned()))
}

fn with_digest(path: &str, digest: &str) -> String {
    format!("{path}{}digest={digest}", if path.contains('?') { '&' } else { '?' })
}

/// Streams a layer of noise into the registry, so that a layer of gigabytes needs no space here.
fn push_layer(registry: &mut Connection, repository: &str, seed: u64, bytes: u64) -> Result<(Value, String)> {
    let path = start_upload(registry, repository)?;
    let size = layer_size(bytes);
    let mut made = None;
    let headers = [("Content-Type", "application/octet-stream")];
    let response = registry.stream("PATCH", &path, &headers, size, |connection| {
        made = Some(write_layer(connection, seed, bytes)?);
        Ok(())
    })?;
    let path = path_of(&response.expect(202, "PATCH")?)?;
    let (digest, diff_id) = made.expect("the response came after the layer");
    registry.request("PUT", &with_digest(&path, &digest), &[], &[])?.expect(201, "PUT")?;
    Ok((json!({ "mediaType": LAYER, "digest": digest, "size": size }), diff_id))
}

/// Maximum size of a stored (uncompressed) deflate block, which follows a header of five bytes.
const STORED: u64 = 65_535;
const TAR_BLOCK: u64 = 512;
/// Size of a gzip file's header and trailer.
const GZIP_ENDS: u64 = 10 + 8;

fn tar_size(bytes: u64) -> u64 {
    TAR_BLOCK + bytes.next_multiple_of(TAR_BLOCK) + 2 * TAR_BLOCK
}

fn layer_size(bytes: u64) -> u64 {
    let tar = tar_size(bytes);
    GZIP_ENDS + tar + 5 * tar.div_ceil(STORED)
}

/// A layer that every tool accepts: a tar with one file of noise, in uncompressed gzip blocks. Returns its digest and
/// its diff ID.
fn write_layer(to: &mut impl Write, seed: u64, bytes: u64) -> Result<(String, String)> {
    let tar = tar_size(bytes);
    let (mut compressed, mut tar_hash, mut checksum) = (Sha256::new(), Sha256::new(), crc32fast::Hasher::new());
    let mut noise = Noise(seed);
    let mut block = vec![];
    compressed.update([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    to.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
    let mut at = 0;
    while at < tar {
        let length = STORED.min(tar - at);
        let last = u8::from(at + length == tar);
        block.clear();
        block.push(last);
        block.extend((length as u16).to_le_bytes());
        block.extend((!(length as u16)).to_le_bytes());
        noise.fill(&mut block, length as usize);
        overwrite_with_tar_headers(&mut block[5..], at, bytes);
        tar_hash.update(&block[5..]);
        checksum.update(&block[5..]);
        compressed.update(&block);
        to.write_all(&block)?;
        at += length;
    }
    let mut tail = checksum.finalize().to_le_bytes().to_vec();
    tail.extend((tar as u32).to_le_bytes());
    compressed.update(&tail);
    to.write_all(&tail)?;
    Ok((digest_text(&compressed.finalize()), digest_text(&tar_hash.finalize())))
}

/// Overwrites the noise of a tar piece that starts at `at`: with the header at the tar's start, and with zeros after
/// the file.
fn overwrite_with_tar_headers(piece: &mut [u8], at: u64, bytes: u64) {
    if at == 0 {
        piece[..TAR_BLOCK as usize].copy_from_slice(&tar_header(bytes));
    }
    let end = TAR_BLOCK + bytes;
    if at + piece.len() as u64 > end {
        piece[end.saturating_sub(at) as usize..].fill(0);
    }
}

fn tar_header(bytes: u64) -> [u8; TAR_BLOCK as usize] {
    let mut header = [0; TAR_BLOCK as usize];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "noise");
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{bytes:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    let text = format!("{sum:06o}\0 ");
    header[148..156].copy_from_slice(text.as_bytes());
    header
}

/// xorshift64*: incompressible bytes.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, buffer: &mut Vec<u8>, bytes: usize) {
        let end = buffer.len() + bytes;
        while buffer.len() < end {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            buffer.extend(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        buffer.truncate(end);
    }
}
