//! What images say about themselves: `docker save`'s manifest.json, and the OCI image specification's index, manifest and
//! configuration. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

/// No list or configuration is longer than this.
pub const LONGEST: u64 = 4 << 20;
/// The specification's own name for what an image is called.
const REFERENCE: &str = "org.opencontainers.image.ref.name";
/// What containerd calls it.
const CONTAINERD: &str = "io.containerd.image.name";

/// One image of a `docker save` archive.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DockerImage {
    /// The configuration's path in the archive.
    #[serde(rename = "Config")]
    pub config: String,
    /// What it is called.
    #[serde(rename = "RepoTags", default)]
    pub tags: Option<Vec<String>>,
    /// The layers' paths in the archive, lowest first.
    #[serde(rename = "Layers")]
    pub layers: Vec<String>,
}

/// A system that an image is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// In the words of Go: `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// `linux`
    #[serde(default)]
    pub os: String,
}

/// Names a blob.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it holds.
    #[serde(default)]
    pub media_type: String,
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// Bytes.
    #[serde(default)]
    pub size: u64,
    /// Which system it is for.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Names among others.
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// What the image is called, when that is said.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        let notes = self.annotations.as_ref()?;
        let name = notes.get(CONTAINERD).or_else(|| notes.get(REFERENCE))?;
        Some(name.as_str())
    }

    /// Whether it is a list of further ones.
    #[must_use]
    pub fn is_index(&self) -> bool {
        self.media_type.contains("image.index") || self.media_type.contains("manifest.list")
    }

    /// One line for a list.
    #[must_use]
    pub fn line(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.reference().map(str::to_owned));
        if let Some(platform) = &self.platform {
            words.push(format!("{}/{}", platform.os, platform.architecture));
        }
        words.push(self.digest.clone());
        words.join(" ")
    }
}

/// A list of images.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Index {
    /// One for each system, or for each name.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// How it is to be run.
    pub config: Descriptor,
    /// Lowest first.
    pub layers: Vec<Descriptor>,
}

/// How an image is to be run, and what its layers are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Configuration {
    /// The system that it is for.
    #[serde(flatten)]
    pub platform: Platform,
    /// What `docker run` takes from it.
    #[serde(default)]
    pub config: Option<Run>,
    /// The digests of the layers' archives before they were compressed.
    #[serde(default)]
    pub rootfs: Layers,
}

/// The digests of the layers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Layers {
    /// Lowest first.
    #[serde(default)]
    pub diff_ids: Vec<String>,
}

/// What `docker run` takes from an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Run {
    /// `K=V`
    #[serde(default)]
    pub env: Option<Vec<String>>,
    /// The program and its first arguments.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Further arguments, or the program.
    #[serde(default)]
    pub cmd: Option<Vec<String>>,
    /// Where it starts.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// `USER` or `USER:GROUP`, by names or numbers.
    #[serde(default)]
    pub user: Option<String>,
}

/// Reads one of these texts.
///
/// # Errors
/// It is not JSON, or has not what it must have; as the end of a sentence.
pub fn read<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// This machine's architecture in the words of images.
#[must_use]
pub fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// Chooses the one image that is meant among those of an index.
///
/// # Errors
/// None suits, or several do: what to say, and the list.
pub fn choose<'i>(
    images: &'i [Descriptor],
    wanted: Option<&str>,
    machine: &str,
) -> Result<&'i Descriptor, (String, Vec<String>)> {
    let suits = |image: &&Descriptor| {
        image.platform.as_ref().is_none_or(|platform| {
            platform.architecture == machine && matches!(platform.os.as_str(), "linux" | "")
        })
    };
    let asked = |image: &&Descriptor| {
        wanted.is_none_or(|wanted| {
            image.digest == wanted
                || image.reference().is_some_and(|name| {
                    name == wanted
                        || short_name(name) == wanted
                        || name.ends_with(&format!("/{wanted}"))
                })
        })
    };
    let lines = || images.iter().map(Descriptor::line).collect::<Vec<_>>();
    // An index within an index may be what the name belongs to.
    let found: Vec<&Descriptor> = images.iter().filter(suits).filter(asked).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] if images.is_empty() => Err(("it has no image".to_owned(), Vec::new())),
        [] => Err((
            match wanted {
                Some(wanted) => format!("it has no image `{wanted}` for linux/{machine}"),
                None => format!("it has no image for linux/{machine}"),
            },
            lines(),
        )),
        _ => Err(("it has several images".to_owned(), lines())),
    }
}

/// The last part of an image's name, without `:latest`: `docker.io/library/alpine:latest` is `alpine`.
#[must_use]
pub fn short_name(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn index(text: &str) -> Vec<Descriptor> {
        read::<Index>(text.as_bytes()).unwrap().manifests
    }

    #[test]
    fn the_image_for_this_machine_is_chosen() {
        let images = index(
            r#"{"manifests": [
                {"digest": "sha256:a", "platform": {"architecture": "amd64", "os": "linux"}},
                {"digest": "sha256:b", "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}},
                {"digest": "sha256:c", "platform": {"architecture": "unknown", "os": "unknown"}},
                {"digest": "sha256:d", "platform": {"architecture": "amd64", "os": "windows"}}
            ]}"#,
        );
        assert_eq!(choose(&images, None, "amd64").unwrap().digest, "sha256:a");
        assert_eq!(choose(&images, None, "arm64").unwrap().digest, "sha256:b");
        let (why, list) = choose(&images, None, "riscv64").unwrap_err();
        assert_eq!(why, "it has no image for linux/riscv64");
        assert_eq!(list.len(), 4);
    }

    #[test]
    fn several_images_are_refused_until_one_is_named() {
        let images = index(
            r#"{"manifests": [
                {"digest": "sha256:a", "annotations": {"org.opencontainers.image.ref.name": "one"}},
                {"digest": "sha256:b", "annotations": {"io.containerd.image.name": "docker.io/library/two:latest"}}
            ]}"#,
        );
        let (why, list) = choose(&images, None, "amd64").unwrap_err();
        assert_eq!(why, "it has several images");
        assert_eq!(
            list,
            ["one sha256:a", "docker.io/library/two:latest sha256:b"]
        );
        for (name, digest) in [
            ("one", "sha256:a"),
            ("two", "sha256:b"),
            ("sha256:b", "sha256:b"),
        ] {
            assert_eq!(choose(&images, Some(name), "amd64").unwrap().digest, digest);
        }
        assert!(choose(&images, Some("three"), "amd64").is_err());
        assert!(choose(&[], None, "amd64").is_err());
    }

    #[test]
    fn what_is_missing_in_a_configuration_is_as_if_not_said() {
        let said: Configuration =
            read(br#"{"architecture":"amd64","os":"linux","config":{"Env":null,"User":"x"}}"#)
                .unwrap();
        assert_eq!(said.platform.architecture, "amd64");
        let run = said.config.unwrap();
        assert_eq!(
            (run.env, run.user.as_deref(), run.cmd),
            (None, Some("x"), None)
        );
        assert!(read::<Manifest>(b"{}").is_err());
        assert!(read::<Index>(b"[1").is_err());
    }
}
