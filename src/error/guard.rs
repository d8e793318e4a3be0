//! The guards that can refuse a step before it writes anything.

/// Which guard refused. The names are part of `--output json` and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardKind {
    /// A destination's tag points to another image (`--if-exists fail`).
    TagExists,
    /// The registry refuses to tell whether a destination's tag exists.
    TagUnknown,
    /// The source's tag does not point to the digest in the reference (`--check-tag`).
    TagMoved,
    /// The source or the result does not have the digest that was required.
    DigestMismatch,
    /// An image has no variant for a platform that was asked for.
    NoSuchPlatform,
    /// Several images fit a platform that was asked for.
    AmbiguousPlatform,
    /// Two images of an index are for one platform.
    DuplicatePlatform,
    /// An image does not state its platform.
    UnknownPlatform,
    /// Images in OCI's and in Docker's format would share an index.
    MixedFormats,
    /// The result's format can't express something that the result needs.
    UnsupportedByFormat,
    /// An attestation covers a digest that would change.
    AttestedImage,
    /// An image was expected, and this is an artifact or something unknown.
    NotAnImage,
    /// An index was expected, and this is a single image.
    NotAnIndex,
    /// There is no image to put into the index, or to change.
    NothingLeft,
    /// A single image would be passed on unchanged, and other options change it.
    UnchangedImage,
    /// The base's layers are not tars, so that files on top of them would be invisible.
    UnsupportedLayer,
    /// A program is built for another platform than its image.
    ForeignBinary,
    /// The entrypoint is not in the image.
    MissingEntrypoint,
    /// A saved image was given as a layer.
    SavedImage,
    /// Files with logins would become part of a layer.
    LoginsInLayer,
}

impl GuardKind {
    /// The stable name, in camelCase.
    pub fn name(self) -> &'static str {
        match self {
            Self::TagExists => "tagExists",
            Self::TagUnknown => "tagUnknown",
            Self::TagMoved => "tagMoved",
            Self::DigestMismatch => "digestMismatch",
            Self::NoSuchPlatform => "noSuchPlatform",
            Self::AmbiguousPlatform => "ambiguousPlatform",
            Self::DuplicatePlatform => "duplicatePlatform",
            Self::UnknownPlatform => "unknownPlatform",
            Self::MixedFormats => "mixedFormats",
            Self::UnsupportedByFormat => "unsupportedByFormat",
            Self::AttestedImage => "attestedImage",
            Self::NotAnImage => "notAnImage",
            Self::NotAnIndex => "notAnIndex",
            Self::NothingLeft => "nothingLeft",
            Self::UnchangedImage => "unchangedImage",
            Self::UnsupportedLayer => "unsupportedLayer",
            Self::ForeignBinary => "foreignBinary",
            Self::MissingEntrypoint => "missingEntrypoint",
            Self::SavedImage => "savedImage",
            Self::LoginsInLayer => "loginsInLayer",
        }
    }
}
