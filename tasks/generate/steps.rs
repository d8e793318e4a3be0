//! What the command line doesn't say: what each step is for in a pipeline, its workspaces, its results, and the options
//! that its Task has for no one.

/// One step as a Task.
pub struct Step {
    /// Its name on the command line.
    pub name: &'static str,
    /// What the Task does, for a catalogue.
    pub description: &'static str,
    /// Words to find it by.
    pub tags: &'static str,
    /// Params without which it makes no sense, in the order of the page.
    pub required: &'static [&'static str],
    /// What its working directory is.
    pub folder: Workspace,
    /// The results that it gives.
    pub results: &'static [&'static str],
    /// Options that are no params, and why.
    pub exceptions: &'static [(&'static str, &'static str)],
    /// Params whose option is described by what else is on the command line.
    pub descriptions: &'static [(&'static str, &'static str)],
    /// The params of the example in its page.
    pub example: &'static str,
}

/// A workspace of a Task; a StepAction has a param `NAME-path` in its place.
pub struct Workspace {
    pub name: &'static str,
    pub description: &'static str,
    pub optional: bool,
    pub read_only: bool,
    /// Which option is given its path; the working directory has none.
    pub option: Option<&'static str>,
}

/// A result: its name, the key of `--result`, and what it holds.
pub struct ResultOf {
    pub name: &'static str,
    pub key: &'static str,
    /// An object `{uri, digest}` as Tekton Chains takes inputs, else a string.
    pub is_input: bool,
    pub description: &'static str,
}

/// The workspaces that every Task has, all of them optional.
pub const COMMON: [Workspace; 3] = [
    Workspace {
        name: "credentials",
        description: "Logins: a Secret or another volume with a config.json, .dockerconfigjson, .dockercfg or auth.json. \
                      They come before those that Tekton collects from the secrets of the ServiceAccount.",
        optional: true,
        read_only: true,
        option: Some("auth-dir"),
    },
    Workspace {
        name: "source-credentials",
        description: "Logins for what is read, where they differ from those for what is written.",
        optional: true,
        read_only: true,
        option: Some("source-auth-dir"),
    },
    Workspace {
        name: "ca-bundle",
        description: "PEM files with certificate authorities to trust: a ConfigMap or another volume.",
        optional: true,
        read_only: true,
        option: Some("ca-dir"),
    },
];

const LAYOUTS: Workspace = Workspace {
    name: "layouts",
    description: "The folder that references of the form oci:DIR[:tag] start from.",
    optional: true,
    read_only: false,
    option: None,
};

const SOURCE: Workspace = Workspace {
    name: "source",
    description: "The folder that the paths of layers, and references of the form oci:DIR[:tag], start from.",
    optional: false,
    read_only: true,
    option: None,
};

/// Every result that a Task can have.
pub const RESULTS: [ResultOf; 6] = [
    ResultOf {
        name: "IMAGE_URL",
        key: "url",
        is_input: false,
        description: "Name of the image: registry/repository:tag of the first destination, without a digest.",
    },
    ResultOf {
        name: "IMAGE_DIGEST",
        key: "digest",
        is_input: false,
        description: "Digest of the image: sha256:… of the manifest or index that was written.",
    },
    ResultOf {
        name: "IMAGE_REF",
        key: "ref",
        is_input: false,
        description: "The image by digest: registry/repository@sha256:… of the first destination.",
    },
    ResultOf {
        name: "IMAGES",
        key: "images",
        is_input: false,
        description: "The images that the index holds, or the image itself where it is none: \
                      registry/repository@sha256:…, with commas between.",
    },
    ResultOf {
        name: "SOURCE_ARTIFACT_INPUTS",
        key: "source",
        is_input: true,
        description: "The image that was read, for Tekton Chains: its repository as uri, and its digest.",
    },
    ResultOf {
        name: "BASE_ARTIFACT_INPUTS",
        key: "base",
        is_input: true,
        description: "The base, for Tekton Chains: its repository as uri, and its digest.",
    },
];

/// Options that no Task has.
pub const EXCEPTIONS: [(&str, &str); 8] = [
    ("auth-dir", "the workspace `credentials`, and `$(credentials.path)` behind it"),
    ("source-auth-dir", "the workspace `source-credentials`"),
    ("ca-dir", "the workspace `ca-bundle`"),
    ("ca-file", "the workspace `ca-bundle`: a folder does the same"),
    ("result", "the Task's results"),
    ("github-artifacts", "for GitHub's attestations: Tekton Chains reads the results"),
    ("ci", "another CI system's way to hand on what the results hand on"),
    ("output", "stdout is the step's log; what it says is in the results"),
];

/// Every step that is a Task.
pub const STEPS: [Step; 5] = [
    Step {
        name: "promote",
        description: "Copies an image whole and byte for byte, all platforms and attestations, to one or more \
                      destinations, with the same digest or not at all. Layers are mounted or streamed; no daemon, no \
                      root, no shell, no disk.",
        tags: "promote,copy,image,registry,oci",
        required: &[],
        folder: LAYOUTS,
        results: &["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF", "SOURCE_ARTIFACT_INPUTS"],
        exceptions: &[
            ("destination", "the same as `to`"),
            ("list", "its lines are the param `list`, which is the option `line`"),
        ],
        descriptions: &[
            ("to", "Where to copy it: `registry/repository[:tag]` or `oci:DIR[:tag]`, one or more."),
            (
                "list",
                "Many images, in place of `source` and `to`: each element is `SOURCE DESTINATION...`. They share connections \
                 and tokens, one that fails stops no other, and there are no results.",
            ),
        ],
        example: r#"    - name: source
      value: ghcr.io/org/app@sha256:…
    - name: to
      value: ["registry.example/app:v1.2.3"]
    - name: tags
      value: ["v1.2", "v1"]"#,
    },
    Step {
        name: "append",
        description: "Puts files on top of a base image, or of nothing, as reproducible layers, and sets the config, for \
                      every platform at once. No Dockerfile, no daemon, no root, no shell, no disk.",
        tags: "append,build,image,registry,oci",
        required: &["base", "to", "layer"],
        folder: SOURCE,
        results: &["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF", "IMAGES", "BASE_ARTIFACT_INPUTS"],
        exceptions: &[(
            "annotate-from-ci",
            "a step's environment says nothing of the source: pass `annotation` what the pipeline knows",
        )],
        descriptions: &[],
        example: r#"    - name: base
      value: scratch
    - name: to
      value: ["ghcr.io/org/app:v1"]
    - name: layer
      value:
        - build/amd64/app=/app,platform=linux/amd64
        - build/arm64/app=/app,platform=linux/arm64
    - name: entrypoint
      value: '["/app"]'"#,
    },
    Step {
        name: "index",
        description: "Assembles one multi-platform index out of images in registries, whose platforms are read from \
                      their configs. No daemon, no root, no shell, no disk.",
        tags: "index,manifest-list,multi-arch,image,registry,oci",
        required: &["to"],
        folder: LAYOUTS,
        results: &["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF", "IMAGES"],
        exceptions: &[],
        descriptions: &[],
        example: r#"    - name: images
      value: ["ghcr.io/org/app:v1-amd64", "ghcr.io/org/app:v1-arm64"]
    - name: to
      value: ["ghcr.io/org/app:v1"]"#,
    },
    Step {
        name: "mutate",
        description: "Changes config, labels and annotations of an image on every platform, and leaves the rest as it \
                      is. No daemon, no root, no shell, no disk.",
        tags: "mutate,label,annotate,image,registry,oci",
        required: &["image", "to"],
        folder: LAYOUTS,
        results: &["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF", "SOURCE_ARTIFACT_INPUTS"],
        exceptions: &[],
        descriptions: &[],
        example: r#"    - name: image
      value: ghcr.io/org/app:v1
    - name: to
      value: ["ghcr.io/org/app:v1-labelled"]
    - name: label
      value: ["org.opencontainers.image.source=https://github.com/org/app"]"#,
    },
    Step {
        name: "tag",
        description: "Lets more tags name an image in its own repository. No daemon, no root, no shell, no disk.",
        tags: "tag,image,registry,oci",
        required: &["image", "tags"],
        folder: LAYOUTS,
        results: &["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF"],
        exceptions: &[],
        descriptions: &[],
        example: r#"    - name: image
      value: ghcr.io/org/app@sha256:…
    - name: tags
      value: ["v1.2.3", "v1.2", "stable"]"#,
    },
];
