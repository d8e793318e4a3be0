//! Names that a fork changes, in one place.

/// Where the project lives.
pub const REPOSITORY: &str = "https://github.com/org/imgstep";
/// Who answers for it.
pub const PROVIDER: &str = "imgstep";
/// Where its people are reached.
pub const EMAIL: &str = "imgstep@org.example";
/// The oldest Tekton Pipelines that runs the Tasks: the first with StepActions in v1beta1.
pub const OLDEST_PIPELINES: &str = "1.0.0";
/// The repository of the bundle with all Tasks and StepActions.
pub const BUNDLE: &str = "ghcr.io/org/imgstep/tekton";
