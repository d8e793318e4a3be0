//! What the command line doesn't define: the purpose of each step in a pipeline, its workspaces and results, and the
//! options that no Task exposes.

/// One step as a Task.
pub struct Step {
    /// Its name on the command line.
    pub name: &'static str,
    /// What the Task does, for a catalog.
    pub description: &'static str,
    /// Search keywords.
    pub tags: &'static str,
    /// Required params, in the order of the page.
    pub required: &'static [&'static str],
    /// The working directory's content.
    pub folder: Workspace,
    /// The results that it writes.
    pub results: &'static [&'static str],
    /// Options that aren't params, and why.
    pub exceptions: &'static [(&'static str, &'static str)],
    /// Descriptions of params that differ from their option's help.
    pub descriptions: &'static [(&'static str, &'static str)],
    /// The params of the example on its page.
    pub example: &'static str,
}

/// A workspace of a Task; a StepAction has a param `NAME-path` instead.
pub struct Workspace {
    pub name: &'static str,
    pub description: &'static str,
    pub optional: bool,
    pub read_only: bool,
    /// The option that gets its path; none for the working directory.
    pub option: Option<&'static str>,
}

/// A result: its name, its key in `--result`, and its content.
pub struct ResultOf {
    pub name: &'static str,
    pub key: &'static str,
    /// An object `{uri, digest}`, as Tekton Chains expects inputs; otherwise a string.
    pub is_input: bool,
    pub description: &'static str,
}

/// The workspaces that every Task has, all of them optional.
pub const COMMON: [Workspace; 3] = [
    Workspace {
        name: "credentials",
        description: "Registry logins: a Secret or another volume with a config.json, .dockerconfigjson, .dockercfg or \
                      auth.json. They take precedence over the logins that Tekton collects from the secrets of the \
                      ServiceAccount.",
        optional: true,
        read_only: true,
        option: Some("auth-dir"),
    },
    Workspace {
        name: "source-credentials",
        description: "Registry logins for sources, if they differ from those for destinations.",
        optional: true,
        read_only: true,
        option: Some("source-auth-dir"),
    },
    Workspace {
        name: "ca-bundle",
        description: "CA certificates to trust: a ConfigMap or another volume with PEM files.",
        optional: true,
        read_only: true,
        option: Some("ca-dir"),
    },
];

const LAYOUTS: Workspace = Workspace {
    name: "layouts",
    description: "Folder that references of the form oci:DIR[:tag] are relative to.",
    optional: true,
    read_only: false,
    option: None,
};

const SOURCE: Workspace = Workspace {
    name: "source",
    description: "Folder that the paths of layers, and references of the form oci:DIR[:tag], are relative to.",
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
        description: "Name of the image at the first destination: registry/repository:tag, without a digest.",
    },
    ResultOf {
        name: "IMAGE_DIGEST",
        key: "digest",
        is_input: false,
        description: "Digest of the manifest or index that was written: sha256:…",
    },
    ResultOf {
        name: "IMAGE_REF",
        key: "ref",
        is_input: false,
        description: "Image by digest at the first destination: registry/repository@sha256:…",
    },
    ResultOf {
        name: "IMAGES",
        key: "images",
        is_input: false,
        description: "Images of an index by digest, separated by commas: registry/repository@sha256:… Otherwise the \
                      image itself.",
    },
    ResultOf {
        name: "SOURCE_ARTIFACT_INPUTS",
        key: "source",
        is_input: true,
        description: "Source image, for Tekton Chains: its repository as uri, and its digest.",
    },
    ResultOf {
        name: "BASE_ARTIFACT_INPUTS",
        key: "base",
        is_input: true,
        description: "Base image, for Tekton Chains: its repository as uri, and its digest.",
    },
];

/// Options that no Task exposes, and why.
pub const EXCEPTIONS: [(&str, &str); 8] = [
    ("auth-dir", "the workspace `credentials`, then `$(credentials.path)`"),
    ("source-auth-dir", "the workspace `source-credentials`"),
    ("ca-dir", "the workspace `ca-bundle`"),
    ("ca-file", "the workspace `ca-bundle`, which is a folder"),
    ("result", "the Task's results"),
    ("github-artifacts", "for attestations on GitHub; Tekton Chains reads the results"),
    ("ci", "outputs of other CI systems; a Task has results"),
    ("output", "stdout is the step's log; a Task has results"),
];

/// The steps that are Tasks.
pub const STEPS: [Step; 5] = [
    Step {
        name: "promote",
        description: "Copies an image byte for byte to one or more destinations, with all platforms and attestations \
                      and the same digest. Layers are mounted or streamed. No daemon, no root, no shell, no disk.",
        tags: "promote,copy,image,registry,oci",
        required: &[],
        folder: LAYOUTS,
        results: &["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF", "SOURCE_ARTIFACT_INPUTS"],
        exceptions: &[
            ("destination", "the same as `to`"),
            ("list", "the param `list` has the lines themselves, for the option `line`"),
        ],
        descriptions: &[(
            "list",
            "Many images, instead of `source` and `to`: each element is `SOURCE DESTINATION...`. They share connections \
                 and tokens. A failing line doesn't stop the others. There are no results.",
        )],
        example: r#"    - name: source
      value: ghcr.io/org/app@sha256:…
    - name: to
      value: ["registry.example/app:v1.2.3"]
    - name: tags
      value: ["v1.2", "v1"]"#,
    },
    Step {
        name: "append",
        description: "Adds files to a base image, or to an empty one, as reproducible layers and sets its config, on \
                      every platform at once. No Dockerfile, no daemon, no root, no shell, no disk.",
        tags: "append,build,image,registry,oci",
        required: &["base", "to", "layer"],
        folder: SOURCE,
        results: &["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF", "IMAGES", "BASE_ARTIFACT_INPUTS"],
        exceptions: &[(
            "annotate-from-ci",
            "a step's environment doesn't contain the source: use `annotation` in the pipeline",
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
        description: "Joins images from registries into one multi-platform index. The platforms are read from the \
                      images' configs. No daemon, no root, no shell, no disk.",
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
        description: "Changes the config, labels and annotations of an image on every platform, and nothing else. No \
                      daemon, no root, no shell, no disk.",
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
        description: "Adds tags to an image in its own repository. No daemon, no root, no shell, no disk.",
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
