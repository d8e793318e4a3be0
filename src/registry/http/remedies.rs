//! What to do next, in the terms of the environment: options in a shell, workspaces and params in Tekton.

/// Which terms are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hints {
    /// Options and commands.
    #[default]
    Shell,
    /// Workspaces and params of a Task.
    Tekton,
}

impl Hints {
    /// How to trust an authority.
    pub fn authority(self) -> &'static str {
        match self {
            Self::Shell => "pass the authority's PEM file with --ca-file, or set SSL_CERT_FILE to it",
            Self::Tekton => "bind the workspace `ca-bundle` to a ConfigMap or Secret with the authority's PEM file",
        }
    }

    /// How to allow a host plain HTTP and unverified certificates.
    pub fn insecure(self, host: &str) -> String {
        match self {
            Self::Shell => format!("--insecure-registry {host} allows plain HTTP and any certificate"),
            Self::Tekton => format!("{host} in the param `insecure-registry` allows plain HTTP and any certificate"),
        }
    }

    /// How to log in to `registry`; `None` if the caller's message contains it.
    pub fn login(self, registry: &str) -> Option<String> {
        match self {
            Self::Shell => {
                Some(format!("run `docker login {registry}`, or pass the folder of a config.json with --auth-dir"))
            }
            Self::Tekton => None,
        }
    }
}
