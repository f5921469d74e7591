//! Parses a kustomization.yaml strictly.

use std::collections::BTreeMap;

use serde_json::Value;
use yaml::{self, Node, Reader};

use crate::at::{At, Fields, Flaw, Result};

/// The name of the file in its folder.
pub(super) const FILE_NAME: &str = "kustomization.yaml";

/// The content of a kustomization.
#[derive(Debug, Default)]
pub(super) struct Kustomization {
    /// Whether it is a component, which only changes the objects of others.
    pub(super) is_component: bool,
    pub(super) resources: Vec<Entry>,
    pub(super) components: Vec<Entry>,
    pub(super) generators: Vec<Generator>,
    pub(super) patches: Vec<Patch>,
    pub(super) namespace: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) replicas: Vec<Replicas>,
    pub(super) images: Vec<Image>,
}

/// A text of the document, such as a path, and the path of the field that holds it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: String,
    pub(super) text: String,
}

/// A generated ConfigMap or Secret.
#[derive(Debug)]
pub(super) struct Generator {
    pub(super) at: String,
    pub(super) is_secret: bool,
    pub(super) name: String,
    pub(super) behavior: Behavior,
    pub(super) envs: Vec<Entry>,
    pub(super) files: Vec<Entry>,
    pub(super) literals: Vec<Entry>,
    pub(super) secret_type: Option<String>,
    pub(super) has_hash: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// What a generator does if the object exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behavior {
    Create,
    Merge,
    Replace,
}

/// A patch of objects.
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) at: String,
    /// Its text, or the file with it.
    pub(super) source: PatchSource,
    /// Its target; `None` for the object that it names itself.
    pub(super) target: Option<Target>,
}

#[derive(Debug)]
pub(super) enum PatchSource {
    Text(String),
    File(Entry),
}

/// The target of a patch: all objects that match.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    pub(super) group: Option<String>,
    pub(super) version: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) name: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
}

/// The replicas of a workload.
#[derive(Debug)]
pub(super) struct Replicas {
    pub(super) at: String,
    pub(super) name: String,
    pub(super) count: i64,
}

/// An image, and its replacement.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) new: NewImage,
}

/// The replacement of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewImage {
    /// Its name with its registry; `None` for that of the manifest.
    pub name: Option<String>,
    /// Its tag; that of the manifest if there is neither a tag nor a digest.
    pub tag: Option<String>,
    /// Its digest, such as `sha256:…`.
    pub digest: Option<String>,
}

/// Parses a kustomization.
pub(super) fn read(text: &str) -> Result<Kustomization> {
    let documents = yaml::strict_documents(text, Reader::Kustomization)?;
    let document = match documents.as_slice() {
        [] => &Node::Null,
        [document] => document,
        several => {
            let what = format!("there should be one document, not {}", several.len());
            return Err(Flaw::new("", what));
        }
    };
    let root = At::root(document);
    let Node::Map(entries) = document else {
        return Err(root.flaw("this is not a kustomization"));
    };
    if entries.iter().all(|(key, _)| key == "apiVersion" || key == "kind") {
        return Err(root.flaw("it is empty"));
    }
    let mut fields = root.fields()?;
    let is_component = match fields.take("kind") {
        Some(kind) => match kind.text()?.as_str() {
            "Kustomization" => false,
            "Component" => true,
            other => {
                return Err(kind.flaw(format!("`{other}` is neither Kustomization nor Component")));
            }
        },
        None => false,
    };
    if let Some(version) = fields.take("apiVersion") {
        let expected = if is_component {
            "kustomize.config.k8s.io/v1alpha1"
        } else {
            "kustomize.config.k8s.io/v1beta1"
        };
        if version.text()? != expected {
            return Err(version.flaw(format!("it should be {expected}")));
        }
    }
    let options = options(fields.take("generatorOptions"))?;
    let mut generators = Vec::new();
    for (key, is_secret) in [("configMapGenerator", false), ("secretGenerator", true)] {
        for at in listed(&mut fields, key)? {
            generators.push(generator(&at, is_secret, &options)?);
        }
    }
    let mut labels = BTreeMap::new();
    for at in listed(&mut fields, "labels")? {
        labels.extend(label_pairs(&at)?);
    }
    let each = |list: Vec<At<'_>>| list.iter().map(entry).collect::<Result<Vec<_>>>();
    let kustomization = Kustomization {
        is_component,
        resources: each(listed(&mut fields, "resources")?)?,
        components: each(listed(&mut fields, "components")?)?,
        generators,
        patches: listed(&mut fields, "patches")?.iter().map(patch).collect::<Result<_>>()?,
        namespace: fields.read("namespace", At::text)?,
        labels,
        replicas: listed(&mut fields, "replicas")?.iter().map(replicas).collect::<Result<_>>()?,
        images: listed(&mut fields, "images")?.iter().map(image).collect::<Result<_>>()?,
    };
    fields.finish()?;
    Ok(kustomization)
}

fn listed<'a>(fields: &mut Fields<'a>, name: &str) -> Result<Vec<At<'a>>> {
    fields.take(name).map_or_else(|| Ok(Vec::new()), |at| at.list())
}

fn entry(at: &At<'_>) -> Result<Entry> {
    Ok(Entry { at: at.path().to_owned(), text: at.text()? })
}

fn truth(at: &At<'_>) -> Result<bool> {
    match at.node() {
        Node::Bool(truth) => Ok(*truth),
        other => Err(at.flaw(format!("it should be true or false, not {}", other.kind()))),
    }
}

fn pairs(fields: &mut Fields<'_>, name: &str) -> Result<BTreeMap<String, String>> {
    fields.take(name).map_or_else(|| Ok(BTreeMap::new()), |at| at.texts_by_name())
}

/// The options of all generators of a file.
#[derive(Clone, Debug, Default)]
struct Options {
    has_no_hash: bool,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn options(at: Option<At<'_>>) -> Result<Options> {
    let Some(at) = at else { return Ok(Options::default()) };
    let mut fields = at.fields()?;
    let options = Options {
        has_no_hash: fields.read("disableNameSuffixHash", truth)?.unwrap_or_default(),
        labels: pairs(&mut fields, "labels")?,
        annotations: pairs(&mut fields, "annotations")?,
    };
    fields.finish()?;
    Ok(options)
}

fn generator(at: &At<'_>, is_secret: bool, common: &Options) -> Result<Generator> {
    let mut fields = at.fields()?;
    let own = options(fields.take("options"))?;
    let behavior = match fields.take("behavior") {
        None => Behavior::Create,
        Some(behavior) => match behavior.text()?.as_str() {
            "create" => Behavior::Create,
            "merge" => Behavior::Merge,
            "replace" => Behavior::Replace,
            other => {
                return Err(
                    behavior.flaw(format!("`{other}` is neither create, merge nor replace"))
                );
            }
        },
    };
    let name = fields.read("name", At::text)?.ok_or_else(|| at.flaw("it has no name"))?;
    let secret_type = if is_secret { fields.read("type", At::text)? } else { None };
    let each = |list: Vec<At<'_>>| list.iter().map(entry).collect::<Result<Vec<_>>>();
    let generator = Generator {
        at: at.path().to_owned(),
        is_secret,
        name,
        behavior,
        envs: each(listed(&mut fields, "envs")?)?,
        files: each(listed(&mut fields, "files")?)?,
        literals: each(listed(&mut fields, "literals")?)?,
        secret_type,
        has_hash: !(common.has_no_hash || own.has_no_hash),
        labels: common.labels.clone().into_iter().chain(own.labels).collect(),
        annotations: common.annotations.clone().into_iter().chain(own.annotations).collect(),
    };
    fields.finish()?;
    Ok(generator)
}

/// Parses labels for every object. Labels of selectors and pods are in the manifests themselves: a change of them would
/// make other objects.
fn label_pairs(at: &At<'_>) -> Result<BTreeMap<String, String>> {
    let mut fields = at.fields()?;
    let found = pairs(&mut fields, "pairs")?;
    for name in ["includeSelectors", "includeTemplates", "includeVolumeClaimTemplates"] {
        if let Some(include) = fields.take(name)
            && truth(&include)?
        {
            return Err(
                include.flaw("chefcito sets labels of objects only, not of selectors or pods")
            );
        }
    }
    fields.finish()?;
    Ok(found)
}

fn patch(at: &At<'_>) -> Result<Patch> {
    let mut fields = at.fields()?;
    let text = fields.read("patch", At::text)?;
    let file = fields.read("path", entry)?;
    let target = fields.read("target", target)?;
    fields.finish()?;
    let source = match (text, file) {
        (Some(text), None) => PatchSource::Text(text),
        (None, Some(file)) => PatchSource::File(file),
        _ => return Err(at.flaw("it should have either `patch` or `path`")),
    };
    Ok(Patch { at: at.path().to_owned(), source, target })
}

fn target(at: &At<'_>) -> Result<Target> {
    let mut fields = at.fields()?;
    let labels = match fields.take("labelSelector") {
        Some(selector) => equalities(&selector)?,
        None => BTreeMap::new(),
    };
    let target = Target {
        group: fields.read("group", plain)?,
        version: fields.read("version", plain)?,
        kind: fields.read("kind", plain)?,
        name: fields.read("name", plain)?,
        labels,
    };
    fields.finish()?;
    Ok(target)
}

/// Parses a name without the characters of a pattern, which it would be for Kustomize.
fn plain(at: &At<'_>) -> Result<String> {
    let text = at.text()?;
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
    if text.chars().all(is_plain) {
        Ok(text)
    } else {
        Err(at.flaw("chefcito does not support patterns"))
    }
}

fn equalities(at: &At<'_>) -> Result<BTreeMap<String, String>> {
    let text = at.text()?;
    let mut labels = BTreeMap::new();
    for term in text.split(',') {
        let pair = term.split_once("==").or_else(|| term.split_once('='));
        let is_plain = |part: &str| !part.is_empty() && !part.contains(['!', '(', ' ', '=']);
        match pair.map(|(key, value)| (key.trim(), value.trim())) {
            Some((key, value)) if is_plain(key) && is_plain(value) => {
                labels.insert(key.to_owned(), value.to_owned());
            }
            _ => {
                return Err(
                    at.flaw(format!("chefcito supports `label=value`, not `{}`", term.trim()))
                );
            }
        }
    }
    Ok(labels)
}

fn replicas(at: &At<'_>) -> Result<Replicas> {
    let mut fields = at.fields()?;
    let name = fields.read("name", At::text)?.ok_or_else(|| at.flaw("it has no name"))?;
    let count = fields.read("count", |count| match count.node() {
        Node::Whole(count) => Ok(*count),
        other => Err(count.flaw(format!("it should be a whole number, not {}", other.kind()))),
    })?;
    let count = count.ok_or_else(|| at.flaw("it has no count"))?;
    fields.finish()?;
    Ok(Replicas { at: at.path().to_owned(), name, count })
}

fn image(at: &At<'_>) -> Result<Image> {
    let mut fields = at.fields()?;
    let name = fields.read("name", At::text)?.ok_or_else(|| at.flaw("it has no name"))?;
    let new = NewImage {
        name: fields.read("newName", At::text)?,
        tag: fields.read("newTag", At::text)?,
        digest: fields.read("digest", At::text)?,
    };
    fields.finish()?;
    Ok(Image { name, new })
}

/// Parses the objects of a file, or of a patch.
pub(super) fn values(text: &str) -> Result<Vec<Value>> {
    Ok(yaml::strict_documents(text, Reader::Objects)?.iter().map(Node::to_json).collect())
}
