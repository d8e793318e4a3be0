//! Names that a fork changes, in one place.

/// The project's URL.
pub const REPOSITORY: &str = "https://github.com/org/imgstep";
/// The maintainer.
pub const PROVIDER: &str = "imgstep";
/// The maintainer's contact.
pub const EMAIL: &str = "imgstep@org.example";
/// The oldest Tekton Pipelines version that runs the Tasks: the first with StepActions in v1beta1.
pub const OLDEST_PIPELINES: &str = "1.0.0";
/// The repository of the bundle with all Tasks and StepActions.
pub const BUNDLE: &str = "ghcr.io/org/imgstep/tekton";
