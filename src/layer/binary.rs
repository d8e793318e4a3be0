//! Detects the platform that a program was built for from its file header: ELF, PE or Mach-O.

use std::fmt;

use crate::image::platform::Platform;

/// Bytes read from the start of a file.
pub(crate) const HEADER: usize = 4096;

/// What a program's header says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Binary {
    /// The kind of file: `ELF`, `PE`, `Mach-O`.
    pub format: &'static str,
    /// The operating system, as in Go's `GOOS`.
    pub os: &'static str,
    /// The architectures, as in Go's `GOARCH`; Mach-O may hold several.
    pub architectures: Vec<&'static str>,
}

impl Binary {
    /// Whether it can run on `platform`.
    pub(crate) fn runs_on(&self, platform: &Platform) -> bool {
        // Most systems leave ELF's OS field empty, so only an explicit Linux is trusted.
        let same_os =
            self.os == platform.os || (self.format == "ELF" && platform.os != "windows" && platform.os != "darwin");
        same_os && self.architectures.iter().any(|architecture| *architecture == platform.architecture)
    }

    /// The platform that the user probably meant.
    pub(crate) fn platform(&self) -> String {
        format!("{}/{}", self.os, self.architectures.first().copied().unwrap_or("unknown"))
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architectures.join("+"))
    }
}

/// Reads the header in the first bytes of a file. `None` if it isn't a program for a known architecture.
pub(crate) fn recognise(head: &[u8]) -> Option<Binary> {
    elf(head).or_else(|| pe(head)).or_else(|| mach_o(head))
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// System V ABI, "ELF Header".
fn elf(head: &[u8]) -> Option<Binary> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let (is_64, is_little) = (*head.get(4)? == 2, *head.get(5)? == 1);
    let half = |at| bytes(head, at).map(if is_little { u16::from_le_bytes } else { u16::from_be_bytes });
    // Executables and shared objects: position-independent executables are the latter.
    if !matches!(half(16)?, 2 | 3) {
        return None;
    }
    let architecture = match (half(18)?, is_64, is_little) {
        (3, false, true) => "386",
        (62, true, true) => "amd64",
        (40, false, true) => "arm",
        (183, true, true) => "arm64",
        (243, true, true) => "riscv64",
        (21, true, true) => "ppc64le",
        (21, true, false) => "ppc64",
        (22, true, false) => "s390x",
        (258, true, true) => "loong64",
        (8, true, true) => "mips64le",
        (8, true, false) => "mips64",
        (8, false, true) => "mipsle",
        (8, false, false) => "mips",
        _ => return None,
    };
    let os = if *head.get(7)? == 9 { "freebsd" } else { "linux" };
    Some(Binary { format: "ELF", os, architectures: vec![architecture] })
}

/// Microsoft's PE format. .NET assemblies run anywhere, so they don't count as programs here.
fn pe(head: &[u8]) -> Option<Binary> {
    if !head.starts_with(b"MZ") {
        return None;
    }
    let start = usize::try_from(u32::from_le_bytes(bytes(head, 0x3c)?)).ok()?;
    if bytes(head, start)? != *b"PE\0\0" {
        return None;
    }
    let half = |at| bytes(head, at).map(u16::from_le_bytes);
    let architecture = match half(start + 4)? {
        0x14c => "386",
        0x8664 => "amd64",
        0x1c0 | 0x1c4 => "arm",
        0xaa64 => "arm64",
        _ => return None,
    };
    let optional = start + 24;
    // The fifteenth data directory belongs to the common language runtime; 96 or 112 bytes precede the directories.
    let directories = optional + if half(optional)? == 0x20b { 112 } else { 96 };
    if bytes(head, directories + 14 * 8).map(u32::from_le_bytes).is_some_and(|address| address != 0) {
        return None;
    }
    Some(Binary { format: "PE", os: "windows", architectures: vec![architecture] })
}

/// Apple's Mach-O, for one architecture or several.
fn mach_o(head: &[u8]) -> Option<Binary> {
    let architecture = |cpu: u32| match cpu {
        0x0100_0007 => Some("amd64"),
        0x0100_000c => Some("arm64"),
        7 => Some("386"),
        _ => None,
    };
    let found = |architectures: Vec<&'static str>| Binary { format: "Mach-O", os: "darwin", architectures };
    match bytes(head, 0)? {
        [0xcf | 0xce, 0xfa, 0xed, 0xfe] => {
            architecture(u32::from_le_bytes(bytes(head, 4)?)).map(|own| found(vec![own]))
        }
        // Java class files start with the same magic; they have their version (45 and up) where Mach-O has a count.
        [0xca, 0xfe, 0xba, 0xbe] => {
            let count = u32::from_be_bytes(bytes(head, 4)?);
            if count == 0 || count >= 40 {
                return None;
            }
            let cpus = (0..count as usize).filter_map(|n| bytes(head, 8 + n * 20).map(u32::from_be_bytes));
            let architectures: Vec<_> = cpus.filter_map(architecture).collect();
            (!architectures.is_empty()).then(|| found(architectures))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header of a 64-bit little-endian executable.
    fn elf_for(machine: u8, kind: u8) -> Vec<u8> {
        let mut head = b"\x7fELF\x02\x01\x01\x00".to_vec();
        head.resize(64, 0);
        head[16] = kind;
        head[18] = machine;
        head
    }

    #[test]
    fn programs_of_linux() {
        let amd64 = recognise(&elf_for(62, 2)).unwrap();
        assert_eq!(amd64.to_string(), "linux/amd64");
        assert!(amd64.runs_on(&"linux/amd64".parse().unwrap()));
        assert!(!amd64.runs_on(&"linux/arm64".parse().unwrap()));
        assert!(!amd64.runs_on(&"windows/amd64".parse().unwrap()));
        assert_eq!(recognise(&elf_for(183, 3)).unwrap().platform(), "linux/arm64");
        assert_eq!(recognise(&elf_for(62, 1)), None, "an object file is not run");
        assert_eq!(recognise(&elf_for(62, 2)[..10]), None);
        assert_eq!(recognise(b"#!/bin/sh"), None);
    }

    fn pe_for(machine: u16, clr: u8) -> Vec<u8> {
        let mut head = vec![0; 512];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c] = 0x80;
        head[0x80..0x84].copy_from_slice(b"PE\0\0");
        head[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
        head[0x98..0x9a].copy_from_slice(&0x20b_u16.to_le_bytes());
        head[0x98 + 112 + 14 * 8] = clr;
        head
    }

    #[test]
    fn programs_of_windows_and_of_apple() {
        assert_eq!(recognise(&pe_for(0x8664, 0)).unwrap().to_string(), "windows/amd64");
        assert_eq!(recognise(&pe_for(0x14c, 1)), None, "an assembly of .NET runs anywhere");
        let mac = [0xcf, 0xfa, 0xed, 0xfe, 0x0c, 0, 0, 1];
        assert_eq!(recognise(&mac).unwrap().to_string(), "darwin/arm64");
        let mut both = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2];
        for cpu in [[1, 0, 0, 7], [1, 0, 0, 12]] {
            both.extend(cpu);
            both.extend([0; 16]);
        }
        assert_eq!(recognise(&both).unwrap().to_string(), "darwin/amd64+arm64");
        assert_eq!(recognise(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 65, 0, 0]), None, "a class file of Java");
    }
}
