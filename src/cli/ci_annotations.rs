//! Annotations about the source from a CI system's environment, for `--annotate-from-ci`.

use oci_spec::image::{ANNOTATION_REVISION, ANNOTATION_SOURCE, ANNOTATION_VERSION};

use crate::report::ci;

/// The annotations from the environment; none if it doesn't describe a source.
pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let value = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let names = ci::ALL.iter().filter_map(|system| system.source_variables);
    let mut found = names.filter_map(|names| {
        let address: Option<Vec<String>> = names.address.iter().map(|name| value(name)).collect();
        let (address, commit) = (address?.join("/"), value(names.commit));
        (commit.is_some() || !names.needs_commit).then_some((names, address, commit))
    });
    let Some((names, address, commit)) = found.next() else { return Vec::new() };
    let is_tag = names.tag_if.is_none_or(|(name, expected)| value(name).is_some_and(|value| value == expected));
    let tag = value(names.tag).filter(|_| is_tag);
    let found =
        [(ANNOTATION_SOURCE, Some(without_login(&address))), (ANNOTATION_REVISION, commit), (ANNOTATION_VERSION, tag)];
    found.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// A URL without the user and password that some systems include.
fn without_login(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(environment: &[(&str, &str)]) -> Vec<(String, String)> {
        let find = |name: &str| environment.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        from_environment(&find)
    }

    #[test]
    fn of_github_and_others() {
        let github = [
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "org/app"),
            ("GITHUB_SHA", "abc"),
            ("GITHUB_REF_TYPE", "branch"),
            ("GITHUB_REF_NAME", "main"),
        ];
        let expected = [(ANNOTATION_SOURCE, "https://github.com/org/app"), (ANNOTATION_REVISION, "abc")];
        assert_eq!(told(&github), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let jenkins = [("GIT_URL", "https://user:secret@git.example/x.git"), ("GIT_COMMIT", "def"), ("TAG_NAME", "v1")];
        let expected = [
            (ANNOTATION_SOURCE, "https://git.example/x.git"),
            (ANNOTATION_REVISION, "def"),
            (ANNOTATION_VERSION, "v1"),
        ];
        assert_eq!(told(&jenkins), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(told(&[("HOME", "/root")]).is_empty());
    }
}
