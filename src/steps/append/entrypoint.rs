//! Whether the program that an image starts with is in it: in a layer given or, where the base was looked at, in the base.

use std::collections::HashMap;

use serde_json::Value;

use super::Request;
use super::base::{Base, BaseImage};
use super::build::Built;
use super::layers::{self, Layer};
use crate::error::{Error, Result, printable};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::Content;
use crate::layer::findings::Findings;
use crate::layer::names::{Names, Room};
use crate::layer::tarfile::Inspector;
use crate::layer::unpack::{Unpacker, packing};
use crate::transfer::readings::Readings;
use crate::transfer::store::Store;
use crate::transfer::verified::Verified;

/// Where a program without a slash is looked for when the image says no `PATH`, as container engines do.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Request {
    /// Whether entrypoints are checked. On scratch that costs nothing; of a base every layer must be read for it.
    pub(super) fn looks_for_entrypoint(&self) -> bool {
        self.check_entrypoint.unwrap_or(self.base.is_none())
    }
}

/// Refuses an image whose first program is nowhere in it; what could not be looked at is answered as warnings.
///
/// # Errors
/// [`Error::Guard`], naming the platform and where the program was looked for; a layer of the base that can't be read.
pub async fn check(request: &Request, base: &Base, built: &Built, layers: &[Layer]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if !request.looks_for_entrypoint() {
        return Ok(warnings);
    }
    let (mut read, mut room) = (HashMap::new(), Room::default());
    for (image, (_, config)) in base.images.iter().zip(&built.configs) {
        // Windows has rules of its own for finding a program.
        if image.platform.os == "windows" {
            continue;
        }
        let config: Value = serde_json::from_slice(config).unwrap_or_default();
        let Some(program) = first_word(&config["config"]) else { continue };
        let places = places(&program, &config["config"]);
        let mut names = Names::default();
        put_own(&mut names, layers, image);
        if places.iter().any(|place| names.have(place.as_bytes())) {
            continue;
        }
        let mut looked_at = String::new();
        if let Some(store) = &base.store {
            let Some(mut names) = of_base(store, image, &mut read, &mut room).await? else {
                warnings.push(format!(
                    "the base of {} has layers that are not in the registry: whether it holds {} is not known",
                    image.platform,
                    printable(&program, 200)
                ));
                continue;
            };
            put_own(&mut names, layers, image);
            if places.iter().any(|place| names.have(place.as_bytes())) {
                continue;
            }
            if !names.are_whole() {
                warnings.push(not_known(image, &program, "the base"));
                continue;
            }
            " and not in the base".clone_into(&mut looked_at);
        } else if !names.are_whole() {
            warnings.push(not_known(image, &program, "what was given"));
            continue;
        }
        return Err(Error::Guard(format!(
            "{} starts with {}, which is in no layer given{looked_at} (looked for: {}); --check-entrypoint=false lets it pass",
            image.platform,
            printable(&program, 200),
            printable(&places.join(", "), 400)
        )));
    }
    Ok(warnings)
}

/// Where there are more names than are kept.
fn not_known(image: &BaseImage, program: &str, which: &str) -> String {
    format!(
        "{which} of {} holds more files or links than are looked through: whether it holds {} is not known",
        image.platform,
        printable(program, 200)
    )
}

fn put_own(names: &mut Names, layers: &[Layer], image: &BaseImage) {
    for layer in layers::of(layers, image) {
        if let Some(own) = &layer.made.findings.names {
            names.put_on(own);
        }
    }
}

/// The program of a config: the entrypoint's first word or, without an entrypoint, the cmd's.
fn first_word(config: &Value) -> Option<String> {
    let first = |name: &str| config[name].as_array()?.first()?.as_str().map(str::to_owned);
    first("Entrypoint").or_else(|| first("Cmd"))
}

/// The paths that a program's name means.
fn places(program: &str, config: &Value) -> Vec<String> {
    if program.starts_with('/') {
        return vec![program.to_owned()];
    }
    let folder = config["WorkingDir"].as_str().unwrap_or_default();
    if program.contains('/') {
        return vec![format!("{folder}/{program}")];
    }
    let env = config["Env"].as_array().map(Vec::as_slice).unwrap_or_default();
    let path = env.iter().filter_map(|entry| entry.as_str()?.strip_prefix("PATH=")).next_back();
    let folders = path.unwrap_or(DEFAULT_PATH).split(':').filter(|folder| folder.starts_with('/'));
    folders.map(|folder| format!("{}/{program}", folder.trim_end_matches('/'))).collect()
}

/// The names in a base's image; `None` if it has layers that only their URLs know.
async fn of_base(
    store: &Store,
    image: &BaseImage,
    read: &mut HashMap<Digest, Names>,
    room: &mut Room,
) -> Result<Option<Names>> {
    let Content::Image { layers, .. } = image.manifest.content()? else { return Ok(None) };
    let mut names = Names::default();
    for layer in &layers {
        if layer.is_foreign() {
            return Ok(None);
        }
        if !read.contains_key(&layer.digest) {
            // All layers of the base, of whatever platforms, share one room.
            let own = of_layer(store, layer, *room).await?;
            *room = own.room();
            read.insert(layer.digest.clone(), own);
        }
        if let Some(own) = read.get(&layer.digest) {
            names.put_on(own);
        }
    }
    Ok(Some(names))
}

/// The names in a layer of the base, which is read for them from its first byte to its last, and again where it came wrong.
async fn of_layer(store: &Store, layer: &Descriptor, room: Room) -> Result<Names> {
    let readings = Readings::default();
    loop {
        match read_layer(store, layer, room, &readings).await {
            Err(error) if readings.once_more(&error) => {}
            result => return result,
        }
    }
}

async fn read_layer(store: &Store, layer: &Descriptor, room: Room, readings: &Readings) -> Result<Names> {
    let what = format!("layer {} of {}", layer.digest, store.name());
    let _room = match store {
        Store::Registry(repository) => Some(repository.host().permits(1).await?),
        Store::Layout(..) | Store::Made(_) => None,
    };
    let mut verified = Verified::open(store, layer, 0, None, readings).await?;
    let mut findings = Findings::with_room(room);
    let mut inspector = Inspector::new(&what, &mut findings);
    let mut unpacker: Option<Unpacker> = None;
    while let Some(piece) = verified.next().await? {
        let unpacker = match &mut unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(Unpacker::new(packing(&piece), what.clone())?),
        };
        unpacker.push(&piece, &mut |plain| inspector.push(plain))?;
    }
    if let Some(mut unpacker) = unpacker {
        unpacker.finish(&mut |plain| inspector.push(plain))?;
        inspector.finish()?;
    }
    Ok(findings.names.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn where_a_program_is_looked_for() {
        let config = json!({"WorkingDir": "/srv", "Env": ["A=1", "PATH=/opt/bin/:bin:/bin"]});
        assert_eq!(places("/app", &config), ["/app"]);
        assert_eq!(places("./app", &config), ["/srv/./app"]);
        assert_eq!(places("app", &config), ["/opt/bin/app", "/bin/app"]);
        assert_eq!(places("app", &json!({})).len(), 6);
        assert_eq!(first_word(&json!({"Entrypoint": [], "Cmd": ["sh", "-c"]})), Some("sh".to_owned()));
        assert_eq!(first_word(&json!({"Entrypoint": null, "Cmd": null})), None);
    }
}
