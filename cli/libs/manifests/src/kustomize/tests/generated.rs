//! Generated kustomizations, of what chefcito supports and of what is close to it: what chefcito renders, kubectl renders alike. The same
//! ones each time; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for more and for others.

use std::cell::Cell;

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
    test_runner::{TestCaseError, TestRunner},
};

use super::*;
use crate::tests::generated_cases;

type Files = Vec<(&'static str, String)>;

/// Renders each generated folder `top` with chefcito and with kubectl. Of the cases, at least this many in a hundred must not be refused.
fn kubectl_agrees(cases: impl Strategy<Value = Files>, rendered_percent_min: u32) {
    let Some(kubectl) = kubectl() else { return };
    let (tried, rendered, alone) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let compared = TestRunner::new(generated_cases()).run(&cases, |files| {
        tried.set(tried.get() + 1);
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, &**text)).collect();
        let ours = render(&Tree::of_files(&files), "top", &Adjustments::default());
        match ours {
            Ok(ours) => {
                rendered.set(rendered.get() + 1);
                match compare(&kubectl, &files, &ours) {
                    Ok(true) => Ok(()),
                    Ok(false) => {
                        alone.set(alone.get() + 1);
                        Ok(())
                    }
                    Err(what) => Err(TestCaseError::fail(format!("{what}\n{}", listing(&files)))),
                }
            }
            Err(error) => match error {
                Error::BadFile { .. } => Ok(()),
                other => Err(TestCaseError::fail(format!("{other} has no place"))),
            },
        }
    });
    if let Err(difference) = compared {
        panic!("{difference}");
    }
    let (tried, rendered) = (tried.get(), rendered.get());
    assert!(rendered * 100 >= tried * rendered_percent_min, "{rendered} of {tried} were rendered");
    let alone = alone.get();
    assert!(alone * 25 <= rendered, "kubectl refuses {alone} of {rendered} that chefcito renders");
}

/// Returns whether kubectl renders it; the error says how its objects differ.
fn compare(kubectl: &str, files: &[(&str, &str)], ours: &[Object]) -> Result<bool, String> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let ran =
        Command::new(kubectl).arg("kustomize").arg(folder.path().join("top")).output().unwrap();
    if !ran.status.success() {
        return Ok(false);
    }
    let theirs =
        yaml::documents(&String::from_utf8(ran.stdout).unwrap()).map_err(|error| error.what)?;
    let theirs: Vec<Value> = theirs.iter().map(|one| in_one_line(one.to_json())).collect();
    let by_id = |objects: &mut dyn Iterator<Item = &Value>| -> BTreeMap<String, Value> {
        let id = |one: &Value| format!("{} {}", one["kind"], one["metadata"]);
        objects.map(|one| (id(one), one.clone())).collect()
    };
    let (ours, theirs) = (by_id(&mut ours.iter().map(Object::value)), by_id(&mut theirs.iter()));
    if ours == theirs {
        return Ok(true);
    }
    let text = |all: BTreeMap<String, Value>, other: &BTreeMap<String, Value>| {
        let different = all.iter().filter(|(id, one)| other.get(*id) != Some(one));
        different.map(|(_, one)| yaml::text_of(one)).collect::<Vec<_>>().join("---\n")
    };
    Err(format!("chefcito:\n{}kubectl:\n{}", text(ours.clone(), &theirs), text(theirs, &ours)))
}

fn listing(files: &[(&str, &str)]) -> String {
    files.iter().map(|(path, text)| format!("==> {path}\n{text}\n")).collect()
}

/// Scalars as they may be written.
fn scalar() -> impl Strategy<Value = String> {
    let written = [
        "a",
        "b c",
        "0400",
        "0o17",
        "0x1F",
        "0b11",
        "+5",
        "-7",
        "1_000",
        "08",
        "1.10",
        "1e3",
        "706798e8",
        ".5",
        "1.",
        "1.5e300",
        "1e22",
        "12345678901234567890",
        "123456789012345678901",
        "9007199254740993",
        "0.1000000000000000055",
        "1e400",
        "yes",
        "No",
        "on",
        "y",
        "~",
        "null",
        "true",
        "False",
        "2026-01-31",
        "2026-01-31T10:00:00Z",
        "12:30:45",
        ".inf",
        "-",
        "'it''s'",
        "\"a\\tb\\u00e9\"",
        "\"\"",
        "'0400'",
        "\"yes\"",
        "!!str 5",
        "!!int '5'",
        "! 5",
        "!own x",
        "a:b",
        "a#b",
        "-x",
        "?x",
        ":x",
        "é",
        "'a: b'",
        "\"\\x41\\\n   b\"",
        "'two\n\n   lines'",
        "a\n   b",
        "<<",
        "=",
        "%x",
        "`x",
        "@x",
        "\"\\/\"",
        "a\tb",
        "a, b",
        "[",
        "*none",
        "\u{feff}",
        "\u{2028}",
    ];
    prop_oneof![
        4 => select(written.to_vec()).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:e}")),
        1 => "[-+.0-9eExo_]{1,8}",
        1 => "[ -~]{1,6}",
        1 => "\"[ !#-\\[\\]-~\t\n]{0,8}\"",
        1 => "'[ -&(-~\t\n]{0,8}'",
    ]
}

/// A block scalar: its header, and its lines with more indentation each.
fn block() -> impl Strategy<Value = (String, Vec<(usize, String)>)> {
    let header = ("[|>]", "[-+]?", option::weighted(0.1, 1..4_u8));
    let header = header.prop_map(|(style, chomping, indent)| {
        format!("{style}{}{chomping}", indent.map_or(String::new(), |indent| indent.to_string()))
    });
    let line = (
        prop_oneof![4 => Just(0_usize), 1 => 0..3_usize],
        select(vec!["a", "b c", "", "", "# no comment", "- x", "k: v", "é ", "\t"]),
    );
    (header, vec(line.prop_map(|(indent, text)| (indent, text.to_owned())), 0..5))
}

/// YAML as it may be written.
#[derive(Clone, Debug)]
enum Written {
    Scalar(String),
    Block(String, Vec<(usize, String)>),
    /// A line of its own for each item, or brackets.
    List(bool, Vec<Written>),
    Map(bool, Vec<(String, Written)>),
    /// With an anchor before it.
    Anchor(char, Box<Written>),
    Alias(char),
    /// With a comment behind it, and one in the next line.
    Comment(Box<Written>),
}

fn written() -> impl Strategy<Value = Written> {
    let name = || select(vec!['a', 'b']);
    let leaf = prop_oneof![
        6 => scalar().prop_map(Written::Scalar),
        2 => block().prop_map(|(header, lines)| Written::Block(header, lines)),
        1 => name().prop_map(Written::Alias),
    ];
    let key = prop_oneof![
        6 => "[a-e]",
        2 => Just("<<".to_owned()),
        1 => scalar(),
        1 => Just("*a ".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            (prop::bool::weighted(0.7), vec(inner.clone(), 0..4))
                .prop_map(|(lines, list)| Written::List(lines, list)),
            (prop::bool::weighted(0.7), vec((key.clone(), inner.clone()), 0..4))
                .prop_map(|(lines, map)| Written::Map(lines, map)),
            (name(), inner.clone())
                .prop_map(|(name, value)| Written::Anchor(name, Box::new(value))),
            inner.prop_map(|value| Written::Comment(Box::new(value))),
        ]
    })
}

impl Written {
    /// Writes it behind a key or a dash; `indent` is that of its lines.
    fn write(&self, indent: usize, in_flow: bool, text: &mut String) {
        let margin = " ".repeat(indent);
        match self {
            Self::Scalar(scalar) => *text += &format!(" {scalar}"),
            Self::Block(_, _) if in_flow => *text += " x",
            Self::Block(header, lines) => {
                *text += &format!(" {header}");
                for (more, line) in lines {
                    *text += &format!("\n{margin}{}{line}", " ".repeat(*more));
                }
            }
            Self::List(lines, list) if *lines && !in_flow && !list.is_empty() => {
                for item in list {
                    *text += &format!("\n{margin}-");
                    item.write(indent + 2, false, text);
                }
            }
            Self::Map(lines, map) if *lines && !in_flow && !map.is_empty() => {
                for (key, value) in map {
                    *text += &format!("\n{margin}{key}:");
                    value.write(indent + 2, false, text);
                }
            }
            Self::List(_, list) => {
                *text += " [";
                for item in list {
                    item.write(indent, true, text);
                    *text += ",";
                }
                *text += "]";
            }
            Self::Map(_, map) => {
                *text += " {";
                for (key, value) in map {
                    *text += &format!(" {key}:");
                    value.write(indent, true, text);
                    *text += ",";
                }
                *text += "}";
            }
            Self::Anchor(name, value) => {
                *text += &format!(" &{name}");
                value.write(indent, in_flow, text);
            }
            Self::Alias(name) => *text += &format!(" *{name}"),
            Self::Comment(value) => {
                value.write(indent, in_flow, text);
                *text += &format!(" # a: [\n{margin}# b\n{margin}");
            }
        }
    }
}

#[test]
fn values_are_read_as_kubectl_reads_them() {
    let around = select(vec!["", "---\n", "\u{feff}", "# x\n---\n---\n", "%YAML 1.1\n---\n"]);
    let cases = (written(), around, select(vec!["", "\n", "\n...\n", "\n---\n"])).prop_map(|(value, before, after)| {
        let mut text = format!(
            "{before}apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a}}\nspec:\n  first: &a {{a: 1, b: 2}}\n  second: &b [1]\n  value:"
        );
        value.write(4, false, &mut text);
        vec![("top/kustomization.yaml", "resources: [a.yaml]".into()), ("top/a.yaml", text + after)]
    });
    kubectl_agrees(cases, 15);
}

/// Keys with values, some of which are absent.
fn map(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(key, value)| option::weighted(0.4, value).prop_map(move |value| (key, value)))
        .collect();
    let present = |fields: Vec<(&str, Option<Value>)>| {
        let some = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        // Kustomize keeps empty ones at some times only, and chefcito refuses them.
        some.filter(|(key, value)| {
            !["labels", "annotations"].contains(&&**key) || *value != json!({})
        })
        .collect()
    };
    fields.prop_map(present).prop_map(Value::Object).boxed()
}

fn list(item: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    vec(item, 0..3).prop_map(Value::Array).boxed()
}

fn one_of<T: Into<Value> + Clone + std::fmt::Debug + 'static>(
    values: &[T],
) -> BoxedStrategy<Value> {
    select(values.to_vec()).prop_map(Into::into).boxed()
}

fn some_of(values: &'static [&'static str]) -> BoxedStrategy<Value> {
    subsequence(values, 0..=values.len()).prop_map(|some| json!(some)).boxed()
}

fn truth() -> BoxedStrategy<Value> {
    any::<bool>().prop_map(Value::from).boxed()
}

/// Adds keys to a map.
fn with(more: Value, rest: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    rest.prop_map(move |mut rest| {
        if let (Value::Object(rest), Value::Object(more)) = (&mut rest, &more) {
            rest.extend(more.clone());
        }
        rest
    })
    .boxed()
}

/// Items with keys that differ, but for one list in twenty.
fn keyed(keys: Vec<Value>, rest: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let most = keys.len();
    let different = subsequence(keys.clone(), 0..=most).prop_shuffle();
    let keys = prop_oneof![19 => different, 1 => vec(select(keys), 0..=most)];
    keys.prop_flat_map(move |keys| {
        keys.into_iter().map(|key| with(key, rest.clone())).collect::<Vec<_>>()
    })
    .prop_map(Value::Array)
    .boxed()
}

fn names() -> Vec<Value> {
    ["a", "settings", "secrets", "c"].map(|name| json!({ "name": name })).into()
}

fn text() -> BoxedStrategy<Value> {
    one_of(&["x", "y", "0400", "yes", "1.10", "", "two\nlines", "12:30"])
}

fn name() -> BoxedStrategy<Value> {
    one_of(&["a", "settings", "secrets", "c"])
}

/// A pod, or the part of one that a patch changes.
fn pod() -> BoxedStrategy<Value> {
    let reference =
        |field: &'static str| map(vec![(field, map(vec![("name", name()), ("key", text())]))]);
    let source = prop_oneof![reference("configMapKeyRef"), reference("secretKeyRef")].boxed();
    let from = prop_oneof![reference("configMapRef"), reference("secretRef")].boxed();
    let ports = vec![
        json!({ "containerPort": 80, "protocol": "TCP" }),
        json!({ "containerPort": 80, "protocol": "UDP" }),
        json!({ "containerPort": 81, "protocol": "TCP" }),
    ];
    let few_ports = vec![json!({ "containerPort": 80 }), json!({ "containerPort": 81 })];
    let port = map(vec![("name", text())]);
    let paths = vec![json!({ "mountPath": "/a" }), json!({ "mountPath": "/b" })];
    let container = map(vec![
        (
            "image",
            one_of(&[
                "a",
                "a:1",
                "b@sha256:12",
                "r.example:5000/a:2",
                "a:1@sha256:34",
                "r.example/b",
            ]),
        ),
        ("args", list(text())),
        ("env", keyed(names(), map(vec![("value", text()), ("valueFrom", source)]))),
        ("envFrom", list(from)),
        ("ports", prop_oneof![keyed(ports, port.clone()), keyed(few_ports, port)].boxed()),
        ("volumeMounts", keyed(paths, map(vec![("name", name()), ("readOnly", truth())]))),
        (
            "resources",
            map(vec![("limits", map(vec![("cpu", one_of(&[1, 2])), ("memory", text())]))]),
        ),
        ("securityContext", map(vec![("capabilities", map(vec![("drop", list(text()))]))])),
    ]);
    let projected = map(vec![
        ("configMap", map(vec![("name", name())])),
        ("secret", map(vec![("name", name())])),
    ]);
    let volume = map(vec![
        ("configMap", map(vec![("name", name()), ("defaultMode", one_of(&[256, 420]))])),
        ("secret", map(vec![("secretName", name())])),
        ("projected", map(vec![("sources", list(projected))])),
        ("azureFile", map(vec![("secretName", name())])),
    ]);
    let hosts = vec![json!({ "ip": "10.0.0.1" }), json!({ "ip": "10.0.0.2" })];
    let spread = vec![
        json!({ "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" }),
        json!({ "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway" }),
    ];
    map(vec![
        ("containers", keyed(names(), container.clone())),
        ("initContainers", keyed(names(), container)),
        ("volumes", keyed(names(), volume)),
        ("imagePullSecrets", keyed(names(), map(vec![]))),
        ("hostAliases", keyed(hosts, map(vec![("hostnames", list(text()))]))),
        ("tolerations", list(map(vec![("key", text())]))),
        ("topologySpreadConstraints", keyed(spread, map(vec![("maxSkew", one_of(&[1, 2]))]))),
        ("serviceAccountName", name()),
    ])
}

fn pairs() -> BoxedStrategy<Value> {
    map(vec![("a", text()), ("part-of", text()), ("example.org/b", text())])
}

/// The objects of the base, of which each has some content, and what a patch may change in them.
fn content(kind: &str) -> BoxedStrategy<Value> {
    let ports =
        vec![json!({ "port": 80, "protocol": "TCP" }), json!({ "port": 81, "protocol": "TCP" })];
    let few_ports = vec![json!({ "port": 80 }), json!({ "port": 81 })];
    let port = map(vec![("targetPort", one_of(&["http", "x"]))]);
    let in_spec = |fields| map(vec![("spec", map(fields))]);
    match kind {
        "ConfigMap" => map(vec![("data", pairs())]),
        "Secret" => map(vec![("stringData", pairs()), ("type", one_of(&["Opaque"]))]),
        "Service" => in_spec(vec![
            ("ports", prop_oneof![keyed(ports, port.clone()), keyed(few_ports, port)].boxed()),
            ("selector", pairs()),
        ]),
        "ServiceAccount" => map(vec![
            ("imagePullSecrets", list(map(vec![("name", name())]))),
            ("secrets", keyed(names(), map(vec![]))),
        ]),
        "NetworkPolicy" => in_spec(vec![
            ("ingress", list(map(vec![("ports", keyed(few_ports, map(vec![])))]))),
            ("policyTypes", list(one_of(&["Ingress", "Egress"]))),
        ]),
        "Ingress" => {
            in_spec(vec![("tls", list(map(vec![("secretName", name()), ("hosts", list(name()))])))])
        }
        "Namespace" => map(vec![]),
        "HorizontalPodAutoscaler" => in_spec(vec![
            ("scaleTargetRef", map(vec![("name", name())])),
            ("minReplicas", one_of(&[1, 2])),
        ]),
        _ => in_spec(vec![
            ("replicas", one_of(&[1, 2])),
            ("selector", map(vec![("matchLabels", pairs())])),
            ("strategy", map(vec![("type", one_of(&["Recreate", "RollingUpdate"]))])),
            ("template", map(vec![("metadata", map(vec![("labels", pairs())])), ("spec", pod())])),
        ]),
    }
}

const OBJECTS: [(&str, &str, &str); 12] = [
    ("apps/v1", "Deployment", "a"),
    ("apps/v1", "Deployment", "c"),
    ("v1", "ConfigMap", "settings"),
    ("v1", "Secret", "secrets"),
    ("v1", "Service", "a"),
    ("apps/v1", "StatefulSet", "a"),
    ("batch/v1", "Job", "a"),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "a"),
    ("networking.k8s.io/v1", "Ingress", "a"),
    ("v1", "Namespace", "n1"),
    ("networking.k8s.io/v1", "NetworkPolicy", "a"),
    ("v1", "ServiceAccount", "a"),
];

fn object(
    (version, kind, name): (&'static str, &'static str, &'static str),
) -> BoxedStrategy<Value> {
    let metadata =
        with(json!({ "name": name }), map(vec![("labels", pairs()), ("annotations", pairs())]));
    (content(kind), metadata)
        .prop_map(move |(mut object, metadata)| {
            object["metadata"] = metadata;
            object["kind"] = kind.into();
            object["apiVersion"] = version.into();
            object
        })
        .boxed()
}

/// Puts `null` or a directive in some places of a patch.
fn spoiled(object: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    fn spoil(value: &mut Value, path: &str, random: &mut impl FnMut() -> u8) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(|one| spoil(one, path, random)),
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    let is_fixed = [
                        "apiVersion",
                        "kind",
                        "metadata",
                        "name",
                        "containerPort",
                        "protocol",
                        "port",
                        "mountPath",
                        "ip",
                    ];
                    if !is_fixed.contains(&key.as_str()) {
                        match random() {
                            0..=2 => *value = Value::Null,
                            _ => spoil(value, key, random),
                        }
                    }
                }
                let directive = match random() {
                    _ if ["", "labels", "annotations", "data"].contains(&path) => return,
                    0..=2 => "delete",
                    3..=8 => "replace",
                    9 => "merge",
                    _ => return,
                };
                map.insert("$patch".into(), directive.into());
            }
            _ => {}
        }
    }
    (object, vec(any::<u8>(), 16))
        .prop_map(|(mut object, bytes)| {
            let mut bytes = bytes.into_iter().cycle();
            spoil(&mut object, "", &mut || bytes.next().unwrap_or(255));
            object
        })
        .boxed()
}

fn patch() -> BoxedStrategy<Value> {
    let target = || {
        one_of(&[
            json!({ "kind": "Deployment" }),
            json!({ "kind": "Deployment", "name": "a" }),
            json!({ "name": "a" }),
            json!({ "group": "apps", "version": "v1" }),
            json!({ "kind": "ConfigMap" }),
            json!({ "labelSelector": "a=x" }),
            json!({}),
        ])
    };
    let merging = prop_oneof![2 => Just(OBJECTS[0]), 3 => select(OBJECTS.to_vec())]
        .prop_flat_map(|one| spoiled(object(one)));
    let merging = merging.prop_map(|value| yaml::text_of(&value));
    let paths = [
        "/metadata/labels",
        "/metadata/annotations",
        "/metadata/labels/a",
        "/metadata/annotations/example.org~1b",
        "/spec/replicas",
        "/spec",
        "/data",
        "/data/a",
        "/spec/template/spec/containers/-",
        "/spec/template/spec/containers/0",
        "/spec/template/spec/containers/0/image",
        "/spec/template/spec/containers/01",
        "/spec/template/spec/containers/-1",
        "/metadata/name",
        "/x/y",
        "",
    ];
    let values = [
        json!("x"),
        json!("yes"),
        json!(2),
        json!({ "a": "b" }),
        json!([]),
        json!({ "name": "d", "image": "a:1" }),
        Value::Null,
    ];
    let ops = prop_oneof![4 => Just("add"), 1 => select(vec!["replace", "remove", "test", "copy"])];
    let operation = (ops, select(paths.to_vec()), select(values.to_vec()))
        .prop_map(|(op, path, value)| json!({ "op": op, "path": path, "value": value }));
    let operations = vec(operation, 1..3).prop_map(|list| Value::from(list).to_string());
    prop_oneof![
        6 => merging.clone().prop_map(|text| json!({ "patch": text })),
        2 => (merging, target()).prop_map(|(text, target)| json!({ "patch": text, "target": target })),
        2 => (operations, target()).prop_map(|(text, target)| json!({ "patch": text, "target": target })),
    ]
    .boxed()
}

/// What a kustomization has besides resources. `own` is a name that no other one generates.
fn changes(own: &'static str) -> BoxedStrategy<Value> {
    let options = || {
        map(vec![("disableNameSuffixHash", truth()), ("labels", pairs()), ("annotations", pairs())])
    };
    let generator = |kind: &'static str| {
        let sources = map(vec![
            (
                "literals",
                some_of(&[
                    "a=b",
                    "c='d'",
                    "e=\"f",
                    "g=",
                    "h=1=2",
                    "i='",
                    "long=0123456789012345678901234567890123456789012345678901234567890123456789",
                ]),
            ),
            ("envs", some_of(&["one.env"])),
            ("files", some_of(&["file.txt", "k=file.txt"])),
            ("options", options()),
        ]);
        let which = prop_oneof![
            Just(json!({ "name": own })),
            Just(json!({ "name": kind, "behavior": "merge" })),
            Just(json!({ "name": kind, "behavior": "replace" })),
            Just(json!({ "name": "a", "behavior": "create" })),
        ];
        which.prop_flat_map(move |which| with(which, sources.clone())).boxed()
    };
    let image = map(vec![
        ("newName", one_of(&["b", "r.example/c"])),
        ("newTag", one_of(&["2", "v3"])),
        ("digest", one_of(&["sha256:56"])),
    ]);
    let images = ["a", "b", "r.example:5000/a"].map(|name| json!({ "name": name })).into();
    let replicas = ["a", "c"].map(|name| json!({ "name": name, "count": 3 })).into();
    map(vec![
        ("namespace", one_of(&["n1", "n2"])),
        ("labels", list(with(json!({ "includeSelectors": false }), map(vec![("pairs", pairs())])))),
        ("images", keyed(images, image)),
        ("replicas", keyed(replicas, map(vec![]))),
        ("configMapGenerator", list(generator("settings"))),
        ("secretGenerator", list(generator("secrets"))),
        ("generatorOptions", options()),
        ("patches", list(patch())),
    ])
}

#[test]
fn kustomizations_are_rendered_as_kubectl_renders_them() {
    let objects =
        subsequence(&OBJECTS[5..], 0..=3).prop_map(|more| [&OBJECTS[..5], &more].concat());
    let objects =
        objects.prop_flat_map(|objects| objects.into_iter().map(object).collect::<Vec<_>>());
    let cases = (objects, changes("one"), changes("two"), changes("three"), any::<bool>());
    let cases = cases.prop_map(|(objects, mut base, mut top, mut component, has_component)| {
        let all: Vec<String> = objects.iter().map(yaml::text_of).collect();
        base["resources"] = json!(["all.yaml"]);
        top["resources"] = json!(["../base"]);
        component["kind"] = "Component".into();
        component["apiVersion"] = "kustomize.config.k8s.io/v1alpha1".into();
        if has_component {
            top["components"] = json!(["../component"]);
        }
        let mut files = vec![("base/all.yaml", all.join("---\n"))];
        for (path, value) in [
            ("base/kustomization.yaml", base),
            ("top/kustomization.yaml", top),
            ("component/kustomization.yaml", component),
        ] {
            files.push((path, yaml::text_of(&value)));
        }
        for path in ["base/one.env", "top/one.env", "component/one.env"] {
            files.push((path, "# variables\nONE=1\n\nTWO= a b \n".into()));
        }
        for path in ["base/file.txt", "top/file.txt", "component/file.txt"] {
            files.push((path, "one\n\n  two <&> \u{e9}\n".into()));
        }
        files
    });
    kubectl_agrees(cases, 15);
}
