//! What to do next, in the words of whoever runs the step: options in a shell, workspaces and params under Tekton.

/// Whose words are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hints {
    /// Options and commands.
    #[default]
    Shell,
    /// Workspaces and params of a Task.
    Tekton,
}

impl Hints {
    /// How an authority is trusted.
    pub fn authority(self) -> &'static str {
        match self {
            Self::Shell => "pass the authority's PEM file with --ca-file, or set SSL_CERT_FILE to it",
            Self::Tekton => "bind the workspace `ca-bundle` to a ConfigMap or Secret with the authority's PEM file",
        }
    }

    /// How a host is let go without TLS that holds.
    pub fn insecure(self, host: &str) -> String {
        match self {
            Self::Shell => format!("--insecure-registry {host} allows plain HTTP and any certificate"),
            Self::Tekton => format!("{host} in the param `insecure-registry` allows plain HTTP and any certificate"),
        }
    }

    /// How a login is given for `registry`; nothing where whoever tells the error says it.
    pub fn login(self, registry: &str) -> Option<String> {
        match self {
            Self::Shell => {
                Some(format!("run `docker login {registry}`, or pass the folder of a config.json with --auth-dir"))
            }
            Self::Tekton => None,
        }
    }
}
